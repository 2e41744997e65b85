"""Options of eval, vis and predict, and what export shares with them.

Names and defaults are the reference's where it has the option.
"""

import dataclasses

from deeplab.config.data import TFDS_PREFIX, ReadConfig, ResizeConfig
from deeplab.config.model import RETIRED_MODEL_FLAGS, ModelConfig
from deeplab.config.options import Checked, nested, option, overrides, require
from deeplab.config.presets import MODELS, model_options

COLORMAPS = ("pascal", "cityscapes", "ade20k")  # reference: --colormap_type
RETIRED_FLAGS = {
    **RETIRED_MODEL_FLAGS,
    "master": "one machine does it all; leave the flag out",
    "quantize_delay_step": "models are quantized at export; leave the flag out",
}
CROP_HELP = (
    "Height and width that images are padded to; not given: the smallest output_stride * k + 1 that holds {}. "
    "The reference's default is 513,513."
)
CHECKPOINT_HELP = "newest, best, or the name of a checkpoint in checkpoint_dir, e.g. model.ckpt-500."
_OUTPUT_STRIDE = {"output_stride": 16}  # reference: eval.py, vis.py; used where there is no config.json


@dataclasses.dataclass(frozen=True)
class PassesConfig(Checked):
    """How often the network looks at an image"""

    eval_scales: tuple[float, ...] = option((1.0,), "Scales at which the network sees the image; the mean counts.")
    add_flipped_images: bool = option(False, "Also see the image reversed left to right.")

    def check(self):
        check_scales("eval_scales", self.eval_scales)


@dataclasses.dataclass(frozen=True)
class TilesConfig(Checked):
    """Sliding window, for images larger than memory allows"""

    tile_size: tuple[int, ...] | None = option(None, "Height and width of a tile, e.g. 513,513; not given: no tiles.")
    tile_overlap: int = option(128, "Pixels that neighbouring tiles share at least.")
    tile_shared_context: bool = option(
        True,
        "Only the backbone runs in tiles; ASPP and decoder see the features of the whole image, and labels are those "
        "of the whole image but for a few pixels. False: for huge images; tiles know nothing of each other.",
    )

    def check(self):
        check_crop("tile_size", self.tile_size)
        require(self.tile_overlap >= 0, "tile_overlap", self.tile_overlap, "0 or more")


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Checked):
    """What a network is where no config.json says it"""

    preset: str | None = option(None, "Network of this published model; model flags go before it.", choices=(*MODELS,))
    use_moving_averages: bool = option(
        True, "Take the moving averages of the weights, where the training kept them (--moving_average_decay)."
    )

    MODEL_DEFAULTS = _OUTPUT_STRIDE

    @property
    def model_defaults(self):
        """{field of ModelConfig: value} of the preset, else of the reference's program."""
        return {**self.MODEL_DEFAULTS, **model_options(self.preset)}

    @property
    def dataset_name(self):
        """Name of the data set: as given, else that of the preset; None where neither is."""
        return self.dataset or (MODELS[self.preset].dataset if self.preset else None)


@dataclasses.dataclass(frozen=True)
class _SplitConfig(NetworkConfig):
    """A trained network and a data set, for eval and vis"""

    checkpoint_dir: str | None = option(None, "A --train_logdir, or a folder or file with weights of the reference.")
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    dataset_dir: str | None = option(None, "Folder of the TFRecord shards.")
    dataset: str | None = option(None, "Where dataset_dir has no dataset.json: catalogue name, or tfds:NAME.")
    passes: PassesConfig = nested(PassesConfig)
    resize: ResizeConfig = nested(ResizeConfig)
    read: ReadConfig = nested(ReadConfig)
    model: dict = overrides(ModelConfig, hide=("crop_size",))

    RETIRED = RETIRED_FLAGS

    def check(self):
        self.check_network()
        if not (self.dataset or "").startswith(TFDS_PREFIX):
            check_given(self, "dataset_dir")

    def check_network(self):
        check_given(self, "checkpoint_dir")


@dataclasses.dataclass(frozen=True)
class EvalConfig(_SplitConfig):
    """What to evaluate"""

    eval_split: str = option("val", "Which split to score.")
    eval_crop_size: tuple[int, ...] | None = option(None, CROP_HELP.format("every image of the split"))
    eval_batch_size: int = option(1, "Images per step and device; the scores do not depend on it.")
    eval_logdir: str | None = option(
        None, "Where results.json and TensorBoard scalars go; not given: eval_SPLIT in checkpoint_dir or saved_model."
    )
    saved_model: str | None = option(None, "An export to score instead of checkpoint_dir, at source size.")
    compare: tuple[str, ...] = option(
        (), "Score several, NAME=PATH,NAME=PATH,...: checkpoint folders or exports; comparison.json in eval_logdir."
    )
    distribution_strategy: str = option(
        "auto", "auto: all GPUs of this machine, else its CPU.", choices=("auto", "one_device", "mirrored")
    )
    continuous: bool = option(False, "Watch checkpoint_dir and score every new checkpoint.")
    eval_interval_secs: int = option(300, "continuous: seconds between looks for a new checkpoint.")
    max_number_of_evaluations: int = option(0, "continuous: end after so many; 0: no limit.")
    eval_timeout_secs: int = option(3600, "continuous: end when no new checkpoint came for so long.")
    tiles: TilesConfig = nested(TilesConfig)
    trimap_widths: tuple[int, ...] = option(
        (), "mIoU of the pixels within these distances of the ignore label, e.g. 1,2,4,8,16,40."
    )
    boundary_scores: bool = option(False, "Also boundary IoU and boundary F-score.")

    def check(self):
        super().check()
        check_crop("eval_crop_size", self.eval_crop_size)
        require(self.eval_batch_size > 0, "eval_batch_size", self.eval_batch_size, "at least 1")
        widths = self.trimap_widths
        require(
            list(widths) == sorted(set(widths)) and min(widths, default=1) > 0,
            "trimap_widths",
            widths,
            "ascending numbers of pixels, from 1",
        )

    def check_network(self):
        given = [name for name in ("checkpoint_dir", "saved_model", "compare") if getattr(self, name)]
        name = given[-1] if given else "checkpoint_dir"
        expected = "one of --checkpoint_dir=..., --saved_model=... and --compare=..."
        require(len(given) == 1, name, getattr(self, name), expected)
        require(not self.continuous or self.checkpoint_dir, "continuous", True, "False without --checkpoint_dir")
        if self.saved_model:
            self.check_export()
        if self.compare:
            names = [name for name, _path in self.contestants]
            distinct = len(set(names)) == len(names) > 1 and all(name and path for name, path in self.contestants)
            require(distinct, "compare", self.compare, "two or more NAME=PATH, each name once")
            check_given(self, "eval_logdir")

    @property
    def contestants(self):
        """((name, path), ...) of --compare."""
        return tuple((name.strip(), path) for name, _equals, path in (item.partition("=") for item in self.compare))

    def check_export(self):
        """Refuses flags that say how a network is run, beside an export."""
        check_export_brings(self, eval_crop_size=self.eval_crop_size, min_resize_value=self.resize.min_resize_value)


@dataclasses.dataclass(frozen=True)
class VisConfig(_SplitConfig):
    """What to draw"""

    vis_split: str = option("val", "Which split to draw.")
    vis_crop_size: tuple[int, ...] | None = option(None, CROP_HELP.format("every image of the split"))
    vis_batch_size: int = option(1, "Images per step.")
    vis_logdir: str | None = option(None, "Where pictures go; not given: vis_SPLIT in checkpoint_dir.")
    max_number_of_iterations: int = option(0, "No effect: pictures are drawn once.")
    eval_interval_secs: int = option(300, "No effect: pictures are drawn once.")
    max_images: int | None = option(None, "Draw only the first images of the split.")
    colormap_type: str | None = option(None, "Colours; not given: those of dataset.json.", choices=COLORMAPS)
    also_save_raw_predictions: bool = option(False, "Also write predictions as PNGs of class ids.")

    def check(self):
        super().check()
        check_crop("vis_crop_size", self.vis_crop_size)
        require(self.vis_batch_size > 0, "vis_batch_size", self.vis_batch_size, "at least 1")
        require(self.max_images is None or self.max_images > 0, "max_images", self.max_images, "at least 1")


@dataclasses.dataclass(frozen=True)
class PredictConfig(NetworkConfig):
    """What to segment"""

    input: str | None = option(None, "An image, a video, a pattern such as 'photos/*.jpg', or a folder of them.")
    output: str | None = option(None, "Folder for NAME.png (class ids) and NAME_overlay.png; NAME.mp4 of a video.")
    checkpoint_dir: str | None = option(None, "A --train_logdir, or a folder or file with weights of the reference.")
    checkpoint: str = option("newest", CHECKPOINT_HELP)
    saved_model: str | None = option(None, "An export to use instead of checkpoint_dir.")
    crop_size: tuple[int, ...] | None = option(None, CROP_HELP.format("the image"))
    dataset: str | None = option(None, "Catalogue name of the classes, where checkpoint_dir has no dataset.json.")
    save_probabilities: bool = option(
        False, "Images: also NAME.npz, compressed, with probabilities (H, W, classes) float16."
    )
    save_frames: bool = option(False, "Videos: also the class ids of every frame, NAME_frames/000000.png and so on.")
    overwrite: bool = option(False, "Do again what is in the output folder already, instead of skipping it.")
    passes: PassesConfig = nested(PassesConfig)
    tiles: TilesConfig = nested(TilesConfig)
    model: dict = overrides(ModelConfig, hide=("crop_size",))

    def check(self):
        check_given(self, "input", "output")
        check_crop("crop_size", self.crop_size)
        sources = (self.checkpoint_dir, self.saved_model)
        require(sources.count(None) == 1, "checkpoint_dir", sources[0], "it or --saved_model, one of the two")
        if self.saved_model:
            check_export_brings(self, crop_size=self.crop_size, preset=self.preset)


def check_export_brings(config, **more):
    """Refuses flags that say how a network is run: an export brings all that. `more`: {name: value} of the config."""
    scales = config.passes.eval_scales
    fixed = {
        "eval_scales": scales != PassesConfig().eval_scales and scales,
        "add_flipped_images": config.passes.add_flipped_images,
        "tile_size": config.tiles.tile_size,
        **more,
        **config.model,
    }
    for name, value in fixed.items():
        require(
            not value, name, value, "no such flag beside --saved_model: an export brings its own; or --checkpoint_dir"
        )


def check_given(config, *names):
    for name in names:
        require(getattr(config, name), name, getattr(config, name), f"a value: --{name}=...")


def check_scales(name, scales):
    require(len(scales) > 0 and min(scales) > 0, name, scales, "at least one scale, all positive")


def check_crop(name, crop):
    require(crop is None or (len(crop) == 2 and min(crop) > 0), name, crop, "two positive numbers: height, width")
