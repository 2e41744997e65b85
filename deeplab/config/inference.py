"""Options of eval, vis and predict, and options that export shares with them.

Options that the reference has, too, bear the reference's names and defaults.
"""

import dataclasses
from typing import Any, ClassVar

from deeplab.config import effects, input_size
from deeplab.config.data import ReadConfig, ResizeConfig, is_tfds
from deeplab.config.model import RETIRED_MODEL_FLAGS, ModelConfig
from deeplab.config.options import (
    Checked,
    GpuConfig,
    check_given,
    check_scales,
    dry_run_option,
    gpu_options,
    max_pixels_option,
    nested,
    option,
    overrides,
    require,
    require_count,
    require_pair,
)
from deeplab.config.published.network import NetworkConfig
from deeplab.config.results.written import IdsConfig, WrittenConfig

COLORMAPS = ("pascal", "cityscapes", "ade20k")  # reference: --colormap_type
RETIRED_FLAGS = {
    **RETIRED_MODEL_FLAGS,
    "master": "the program runs on one machine; leave the flag out",
    "quantize_delay_step": "models are quantized at export; leave the flag out",
}
CROP_HELP = (
    "Pad images to this height and width. Not given: each image is padded by itself to the smallest "
    "output_stride * k + 1 that holds it. The reference's default is 513,513."
)
CHECKPOINT_DIR_HELP = (
    "Folder of a training (its --train_logdir), or a folder or file with weights of the reference, also preset:NAME, "
    "https://... or gs://... Not given: the published weights of --preset, which are fetched once."
)
CHECKPOINT_HELP = (
    "Which checkpoint of the folder to use: newest, best, or a name such as model.ckpt-500. A path such as FOLDER/best "
    "or FOLDER/best/model.ckpt-500 in place of the folder says it, too."
)
ALL_CHECKPOINTS = "all"  # value of eval's --checkpoint
SCALES_HELP = "Run the network at these scales of the image and average the probabilities."
DATASET_HELP = "Catalogue name of the data set that names the classes, when the checkpoint has no dataset.json."
FLIPPED_HELP = "Also run the network on the image flipped left to right."


@dataclasses.dataclass(frozen=True)
class PassesConfig(Checked):
    """Passes of the network over an image"""

    eval_scales: tuple[float, ...] = option((1.0,), SCALES_HELP)
    add_flipped_images: bool = option(False, FLIPPED_HELP)

    def check(self):
        check_scales("eval_scales", self.eval_scales)


@dataclasses.dataclass(frozen=True)
class TilesConfig(Checked):
    """Tiles, for images that are too large for memory"""

    tile_size: tuple[int, ...] | None = option(None, "Height and width of a tile, e.g. 513,513. Not given: no tiles.")
    tile_overlap: int = option(128, "Least number of pixels by which neighbouring tiles overlap.")
    tile_shared_context: bool = option(
        True,
        "Run only the backbone in tiles, and ASPP and decoder on the features of the whole image; few labels change. "
        "False (for huge images): run the whole network on each tile by itself.",
    )

    def check(self):
        require_pair("tile_size", self.tile_size)
        require(self.tile_overlap >= 0, "tile_overlap", self.tile_overlap, "0 or more")


@dataclasses.dataclass(frozen=True)
class _SplitConfig(NetworkConfig):
    """Base of the options of eval and vis: a trained network and a split of a data set."""

    checkpoint_dir: str | None = option(None, CHECKPOINT_DIR_HELP)
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    dataset_dir: str | None = option(None, "Folder of the TFRecord shards.")
    dataset: str | None = option(
        None, "Catalogue name of the data set, when dataset_dir has no dataset.json; or tfds:NAME to read it with TFDS."
    )
    passes: PassesConfig = nested(PassesConfig)
    resize: ResizeConfig = nested(ResizeConfig)
    read: ReadConfig = nested(ReadConfig)
    model: dict[str, Any] = overrides(ModelConfig, hide=("crop_size",))

    RETIRED: ClassVar[dict[str, str]] = RETIRED_FLAGS

    def check(self):
        self.check_network()
        effects.refuse_without_effect(self, effects.TRAINING_ONLY, self.model)
        effects.refuse_without_effect(self, effects.PASSES, self.model)
        if not is_tfds(self.dataset):
            check_given(self, "dataset_dir")

    def check_network(self):
        self.check_weights()


@dataclasses.dataclass(frozen=True)
class EvalConfig(_SplitConfig):
    """Network, data set and scores"""

    checkpoint: str = option(
        "newest",
        f"{CHECKPOINT_HELP} {ALL_CHECKPOINTS}: score every checkpoint of the folder, the best one included.",
    )
    eval_split: str = option("val", "Split of the data set to score.")
    eval_crop_size: tuple[int, ...] | None = option(None, CROP_HELP)
    eval_batch_size: int | None = option(
        None,
        "Images per step and device. It does not change the scores. Not given: 1, or on a GPU what suits the size.",
    )
    eval_logdir: str | None = option(
        None,
        "Folder for results.json and TensorBoard scalars. Not given: eval_SPLIT in checkpoint_dir or saved_model.",
    )
    saved_model: str | None = option(None, "Score this export instead of checkpoint_dir, at the size of the images.")
    compare: tuple[str, ...] = option(
        (),
        "Score several checkpoint folders or exports, NAME=PATH,NAME=PATH,...; eval_logdir gets comparison.json. "
        "--checkpoint applies to every folder; NAME=FOLDER/best takes the best checkpoint of one.",
    )
    distribution_strategy: str = option(
        "auto",
        "auto: use all GPUs of this machine, or its CPU when it has none.",
        choices=("auto", "one_device", "mirrored"),
    )
    continuous: bool = option(False, "Watch checkpoint_dir and score every new checkpoint.")
    eval_interval_secs: int = option(300, "continuous: seconds between two looks for a new checkpoint.")
    max_number_of_evaluations: int = option(0, "continuous: stop after this many evaluations. 0: never.")
    eval_timeout_secs: int = option(3600, "continuous: stop when no new checkpoint came for so many seconds.")
    tiles: TilesConfig = nested(TilesConfig)
    trimap_widths: tuple[int, ...] = option(
        (), "Also compute the mIoU of the pixels within these distances of the ignore label, e.g. 1,2,4,8,16,40."
    )
    boundary_scores: bool = option(False, "Also compute boundary IoU and boundary F-score.")
    dry_run: bool = dry_run_option("Predict a few images, say how long all of them would take")
    gpu: GpuConfig = gpu_options()

    def check(self):
        super().check()
        require_pair("eval_crop_size", self.eval_crop_size)
        require_count("eval_batch_size", self.eval_batch_size)
        widths = self.trimap_widths
        require(
            list(widths) == sorted(set(widths)) and min(widths, default=1) > 0,
            "trimap_widths",
            widths,
            "ascending numbers of pixels, from 1",
        )
        effects.refuse_without_effect(self, effects.EVAL)

    def check_network(self):
        given = [name for name in ("checkpoint_dir", "saved_model", "compare") if getattr(self, name)]
        name = given[-1] if given else "checkpoint_dir"
        expected = "one of --checkpoint_dir=..., --preset=..., --saved_model=... and --compare=..."
        require(len(given) == 1 or (not given and self.preset), name, getattr(self, name), expected)
        if not self.saved_model and not self.compare:
            self.check_weights()
        require(not self.continuous or self.checkpoint_dir, "continuous", True, "False without --checkpoint_dir")
        alone = self.checkpoint_dir and not self.continuous
        expected = "a single checkpoint, except with --checkpoint_dir and without --continuous"
        require(alone or self.checkpoint != ALL_CHECKPOINTS, "checkpoint", self.checkpoint, expected)
        if self.saved_model:
            self.check_export()
        if self.compare:
            names = [name for name, _path in self.candidates]
            distinct = len(set(names)) == len(names) > 1 and all(name and path for name, path in self.candidates)
            require(distinct, "compare", self.compare, "two or more NAME=PATH, each name once")
            check_given(self, "eval_logdir")

    @property
    def candidates(self):
        """The pairs (name, path) of --compare."""
        return tuple((name.strip(), path) for name, _equals, path in (item.partition("=") for item in self.compare))

    def check_export(self):
        """Refuses the flags that say how a network is run, because an export has that built in."""
        effects.refuse_what_exports_bring(
            self, eval_crop_size=self.eval_crop_size, min_resize_value=self.resize.min_resize_value
        )


@dataclasses.dataclass(frozen=True)
class VisConfig(_SplitConfig):
    """Network, data set and pictures"""

    vis_split: str = option("val", "Split of the data set to draw.")
    vis_crop_size: tuple[int, ...] | None = option(None, CROP_HELP)
    vis_batch_size: int = option(1, "Images per step.")
    vis_logdir: str | None = option(None, "Folder for the pictures. Not given: vis_SPLIT in checkpoint_dir.")
    max_number_of_iterations: int = option(0, "Only 1, since pictures are drawn once.")
    eval_interval_secs: int = option(300, "Only 300, the default, since pictures are drawn once.")
    max_images: int | None = option(None, "Draw only the first images of the split, up to this number.")
    colormap_type: str | None = option(
        None, "Colours of the classes. Not given: the colours in dataset.json.", choices=COLORMAPS
    )
    also_save_raw_predictions: bool = option(False, "Also write the predictions as PNG files of ids.")
    ids: IdsConfig = nested(IdsConfig)
    gpu: GpuConfig = gpu_options()

    def check(self):
        super().check()
        require_pair("vis_crop_size", self.vis_crop_size)
        require(self.vis_batch_size > 0, "vis_batch_size", self.vis_batch_size, "at least 1")
        require(self.max_images is None or self.max_images > 0, "max_images", self.max_images, "at least 1")
        effects.refuse_without_effect(self, effects.VIS)


@dataclasses.dataclass(frozen=True)
class PredictConfig(NetworkConfig):
    """Network, input and output"""

    input: str | None = option(
        None,
        "An image, a video, a pattern such as 'photos/*.jpg', or a folder, which is searched with the folders below it "
        "except for hidden ones.",
    )
    output: str | None = option(
        None,
        "Folder for NAME.png (ids with a palette) and NAME_overlay.png, or for NAME.mp4 when it is a video. It gets "
        "the same folders as --input.",
    )
    checkpoint_dir: str | None = option(None, CHECKPOINT_DIR_HELP)
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    saved_model: str | None = option(None, "Use this export instead of checkpoint_dir.")
    crop_size: tuple[int, ...] | None = option(None, CROP_HELP)
    input_size: str = input_size.input_size_option()
    dataset: str | None = option(None, DATASET_HELP)
    batch_size: int | None = option(
        None,
        "Images that are segmented at once if they are padded to one size (an export: if they have one size). It does "
        "not change the labels. Frames of videos come one at a time. Not given: 1, or on a GPU what suits the size.",
    )
    save_probabilities: bool = option(
        False, "Images: also write NAME.npz, compressed, with probabilities (H, W, classes) in float16."
    )
    save_frames: bool = option(False, "Videos: also write the ids of every frame: NAME_frames/000000.png and so on.")
    max_image_pixels: int = max_pixels_option()
    overwrite: bool = option(
        False, "Segment all inputs. False: skip inputs whose results are in the output folder already."
    )
    written: WrittenConfig = nested(WrittenConfig)
    passes: PassesConfig = nested(PassesConfig)
    tiles: TilesConfig = nested(TilesConfig)
    model: dict[str, Any] = overrides(ModelConfig, hide=("crop_size",))
    gpu: GpuConfig = gpu_options()

    def check(self):
        check_given(self, "input", "output")
        self.check_network()

    def check_network(self):
        """Raises a UserError if the options that say what segments, and how, make no sense together."""
        require_pair("crop_size", self.crop_size)
        require_count("batch_size", self.batch_size)
        require_count("max_image_pixels", self.max_image_pixels)
        input_size.check(self.input_size, tile_size=self.tiles.tile_size)
        both = self.checkpoint_dir and self.saved_model
        require(not both, "checkpoint_dir", self.checkpoint_dir, "it or --saved_model, one of the two")
        if not self.saved_model:
            self.check_weights()
        else:
            chosen = self.input_size != input_size.AUTO and self.input_size
            effects.refuse_what_exports_bring(self, crop_size=self.crop_size, preset=self.preset, input_size=chosen)
        effects.refuse_without_effect(self, effects.TRAINING_ONLY, self.model)
        effects.refuse_without_effect(self, effects.PASSES, self.model)
        effects.refuse_without_effect(self, effects.PREDICT)
