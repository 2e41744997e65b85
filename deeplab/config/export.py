"""Options of export. Names and defaults are the reference's where it has the option."""

import dataclasses

from deeplab.config.data import ResizeConfig
from deeplab.config.inference import (
    CHECKPOINT_HELP,
    CROP_HELP,
    RETIRED_FLAGS,
    NetworkConfig,
    check_crop,
    check_given,
    check_scales,
)
from deeplab.config.model import ModelConfig
from deeplab.config.options import nested, option, overrides, require

FORMATS = ("saved_model", "frozen_graph", "tflite", "onnx", "openvino")
PRECISIONS = ("float32", "bfloat16", "float16")
QUANTIZE = ("none", "float16", "dynamic", "int8")


@dataclasses.dataclass(frozen=True)
class ExportConfig(NetworkConfig):
    """What to export, and where"""

    checkpoint_path: str | None = option(None, "Prefix of a checkpoint, or a --train_logdir (also: --checkpoint_dir).")
    checkpoint_dir: str | None = option(None, "A --train_logdir, as the other programs take it.")
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    export_path: str | None = option(None, "Folder that gets the export as VERSION/, counting up.")
    format: str = option("saved_model", "Which kind of files; all but the first two take one size.", choices=FORMATS)
    fold_batch_norm: bool = option(True, "Fold batch norms into the convolutions: the same labels, sooner.")
    constant_weights: bool = option(
        True,
        "saved_model: weights are constants, which CPUs run sooner; else variables, which take less memory.",
    )
    precision: str = option("float32", "Type of weights and activations; logits are float32.", choices=PRECISIONS)
    quantize: str = option("none", "tflite: how weights are stored; int8 computes in it, too.", choices=QUANTIZE)
    dataset_dir: str | None = option(
        None, "Images to verify with and, for int8, to learn ranges from: TFRecord shards."
    )
    split: str = option("train", "Which split of dataset_dir.")
    dataset: str | None = option(None, "Catalogue name of the classes, where the checkpoint has no dataset.json.")
    crop_size: tuple[int, ...] | None = option(None, CROP_HELP.format("the image"))
    inference_scales: tuple[float, ...] = option((1.0,), "Scales at which the network sees the image; the mean counts.")
    add_flipped_images: bool = option(False, "Also see the image reversed left to right.")
    with_probabilities: bool = option(False, "serving_default returns probabilities (B, H, W, K), too.")
    with_logits: bool = option(False, "serving_default returns logits (B, H, W, K), too: logarithms of probabilities.")
    with_colors: bool = option(False, "bytes returns color_bytes, too: PNG files in the colours of the classes.")
    verify: bool = option(True, "Load the export and compare its labels with the network's.")
    resize: ResizeConfig = nested(ResizeConfig)
    model: dict = overrides(ModelConfig, hide=("crop_size",))

    RETIRED = RETIRED_FLAGS | {
        "save_inference_graph": "a SavedModel holds its graph; --format=frozen_graph, as one file"
    }
    MODEL_DEFAULTS = {"output_stride": 8}  # reference: export_model.py

    def check(self):
        check_given(self, "export_path")
        check_crop("crop_size", self.crop_size)
        check_scales("inference_scales", self.inference_scales)
        sources = [self.checkpoint_path, self.checkpoint_dir]
        require(
            sources.count(None) == 1, "checkpoint_path", self.checkpoint_path, "it or --checkpoint_dir, one of the two"
        )
        tflite = self.format == "tflite"
        require(tflite or self.quantize == "none", "quantize", self.quantize, "none, unless --format=tflite")
        whole = "float32 with this --format: OpenVINO chooses when it loads, TFLite has --quantize"
        require(self.precision == "float32" or not self.takes_one_size, "precision", self.precision, whole)
        folds = "float32 with --nofold_batch_norm"
        require(self.precision == "float32" or self.fold_batch_norm, "precision", self.precision, folds)
        if self.quantize == "int8":
            check_given(self, "dataset_dir")
        if self.takes_one_size:
            resize = self.resize.min_resize_value
            require(resize is None, "min_resize_value", resize, "none with this --format; resize before")

    @property
    def takes_one_size(self):
        """Tells whether images must have the one size that the export was made for."""
        return self.format not in ("saved_model", "frozen_graph")
