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


@dataclasses.dataclass(frozen=True)
class ExportConfig(NetworkConfig):
    """What to export, and where"""

    checkpoint_path: str | None = option(None, "Prefix of a checkpoint, or a --train_logdir (also: --checkpoint_dir).")
    checkpoint_dir: str | None = option(None, "A --train_logdir, as the other programs take it.")
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    export_path: str | None = option(None, "Folder that gets the SavedModel as VERSION/, counting up.")
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

    RETIRED = RETIRED_FLAGS
    MODEL_DEFAULTS = {"output_stride": 8}  # reference: export_model.py

    def check(self):
        check_given(self, "export_path")
        check_crop("crop_size", self.crop_size)
        check_scales("inference_scales", self.inference_scales)
        sources = [self.checkpoint_path, self.checkpoint_dir]
        require(
            sources.count(None) == 1, "checkpoint_path", self.checkpoint_path, "it or --checkpoint_dir, one of the two"
        )
