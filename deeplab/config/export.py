"""Options of export. Options that the reference has, too, bear the reference's names and defaults."""

import dataclasses
from typing import Any, ClassVar

from deeplab.config import effects, input_size
from deeplab.config.data import ResizeConfig
from deeplab.config.inference import (
    CHECKPOINT_HELP,
    CROP_HELP,
    DATASET_HELP,
    FLIPPED_HELP,
    RETIRED_FLAGS,
    SCALES_HELP,
    NetworkConfig,
)
from deeplab.config.model import ModelConfig
from deeplab.config.options import (
    GpuConfig,
    check_given,
    check_scales,
    dry_run_option,
    gpu_options,
    nested,
    option,
    overrides,
    require,
    require_pair,
)
from deeplab.config.results.written import IdsConfig

FORMATS = ("saved_model", "frozen_graph", "tflite", "onnx", "openvino")
PRECISIONS = ("float32", "bfloat16", "float16")
AUTO = "auto"  # of --precision
QUANTIZE = ("none", "float16", "dynamic", "int8")
QUANTIZED = {"tflite": QUANTIZE, "openvino": ("none", "int8")}  # format -> its values of --quantize; others: none


@dataclasses.dataclass(frozen=True)
class ExportConfig(NetworkConfig):
    """Network, files and what they return"""

    checkpoint_path: str | None = option(None, "Prefix of a checkpoint, or a folder as in --checkpoint_dir.")
    checkpoint_dir: str | None = option(
        None, "Folder of a training (its --train_logdir), as the other programs take it."
    )
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    export_path: str | None = option(
        None, "Folder for the export, which becomes EXPORT_PATH/1, then EXPORT_PATH/2 and so on."
    )
    format: str = option(
        "saved_model", "Kind of files to write. All but the first two take images of one size.", choices=FORMATS
    )
    fold_batch_norm: bool = option(
        True, "Fold batch norms into the convolutions: the labels stay the same, the export is faster."
    )
    constant_weights: bool = option(
        True,
        "saved_model: store weights as constants, which CPUs run faster. False: as variables, which take less memory.",
    )
    precision: str = option(
        "float32",
        "Type of weights and activations. Logits are float32. auto: bfloat16 if this machine computes in it, 99.5 % of "
        "the labels stay the same, and an image takes less time, as a short measurement tells; else float32. Export on "
        "a machine of the kind that will run the export.",
        choices=(*PRECISIONS, AUTO),
    )
    quantize: str = option(
        "none",
        "tflite: type in which weights are stored. tflite and openvino: with int8, the network also computes in int8, "
        "all but its logits.",
        choices=QUANTIZE,
    )
    dataset_dir: str | None = option(
        None, "TFRecord shards whose images verify the export and, with int8, calibrate the ranges of activations."
    )
    split: str = option("train", "Split of dataset_dir to take images from.")
    dataset: str | None = option(None, DATASET_HELP)
    crop_size: tuple[int, ...] | None = option(None, CROP_HELP)
    input_size: str = input_size.input_size_option()
    inference_scales: tuple[float, ...] = option((1.0,), SCALES_HELP)
    add_flipped_images: bool = option(False, FLIPPED_HELP)
    with_probabilities: bool = option(
        False, "saved_model: signature serving_default also returns probabilities (B, H, W, K)."
    )
    with_logits: bool = option(
        False, "saved_model: serving_default also returns logits (B, H, W, K), the logarithms of the probabilities."
    )
    with_colors: bool = option(
        False, "saved_model: signature bytes also returns color_bytes, PNG files in the colours of the classes."
    )
    verify: bool = option(True, "Load the export and compare its labels with the labels of the network.")
    dry_run: bool = dry_run_option("Restore the network, say what would be written")
    ids: IdsConfig = nested(IdsConfig)
    resize: ResizeConfig = nested(ResizeConfig)
    model: dict[str, Any] = overrides(ModelConfig, hide=("crop_size",))
    gpu: GpuConfig = gpu_options()

    RETIRED: ClassVar[dict[str, str]] = RETIRED_FLAGS | {
        "save_inference_graph": "a SavedModel holds its graph; --format=frozen_graph, as one file"
    }
    MODEL_DEFAULTS: ClassVar[dict[str, Any]] = {"output_stride": 8}  # reference: export_model.py

    def check(self):
        check_given(self, "export_path")
        require_pair("crop_size", self.crop_size)
        input_size.check(self.input_size, min_resize_value=self.resize.min_resize_value)
        check_scales("inference_scales", self.inference_scales)
        both = self.checkpoint_path and self.checkpoint_dir
        require(not both, "checkpoint_path", self.checkpoint_path, "it or --checkpoint_dir, one of the two")
        self.check_weights()
        self._check_quantize()
        whole = "float32 with this --format: OpenVINO chooses when it loads, TFLite has --quantize"
        require(self.precision == "float32" or not self.takes_one_size, "precision", self.precision, whole)
        folds = "float32 with --nofold_batch_norm"
        require(self.precision == "float32" or self.fold_batch_norm, "precision", self.precision, folds)
        compares = "True with --precision=auto, which compares the labels before it chooses"
        require(self.verify or self.precision != AUTO, "verify", False, compares)
        self._check_outputs()
        if self.quantize == "int8":
            check_given(self, "dataset_dir")
        if self.takes_one_size:
            resize = self.resize.min_resize_value
            require(resize is None, "min_resize_value", resize, "none with this --format; resize before")
        effects.refuse_without_effect(self, effects.TRAINING_ONLY, self.model)
        effects.refuse_without_effect(self, effects.PASSES, self.model)
        effects.refuse_without_effect(self, effects.EXPORT)

    def _check_quantize(self):
        """Refuses types of weights that the format does not have."""
        kinds = QUANTIZED.get(self.format, ("none",))
        expected = f"{' or '.join(kinds)} with --format={self.format}; {', '.join(QUANTIZED)} have more"
        require(self.quantize in kinds, "quantize", self.quantize, expected)

    def _check_outputs(self):
        """Refuses further outputs in formats whose outputs are always the same."""
        gives = "labels and probabilities" if self.format == "frozen_graph" else "labels only"
        for name in ("with_probabilities", "with_logits", "with_colors"):
            value = getattr(self, name)
            way_out = f"False: --format={self.format} always gives {gives}; leave it out, or use --format=saved_model"
            require(not value or self.format == "saved_model", name, value, way_out)

    @property
    def takes_one_size(self):
        """Tells whether the exported file only takes images of one size."""
        return self.format not in ("saved_model", "frozen_graph")
