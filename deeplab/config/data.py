"""Options of the input: resizing, augmentation and reading. Names and defaults are those of the reference."""

import dataclasses

from deeplab.config.options import Checked, option, require

TFDS_PREFIX = "tfds:"


def is_tfds(name):
    """Tells whether a value of --dataset, which may be None, names a data set of TensorFlow Datasets."""
    return (name or "").startswith(TFDS_PREFIX)


@dataclasses.dataclass(frozen=True)
class ResizeConfig(Checked):
    """Resizing of images before they enter the network"""

    min_resize_value: int | None = option(None, "Resize images so that the shorter side has this many pixels.")
    max_resize_value: int | None = option(None, "Let no side be longer than this; overrides min_resize_value.")
    resize_factor: int | None = option(None, "Round resized sides up to a multiple of this number, plus one.")
    keep_aspect_ratio: bool = option(True, "Only True: the reference has this flag, but never reads it.")

    def check(self):
        require(self.keep_aspect_ratio, "keep_aspect_ratio", False, "True, because the flag has no effect")
        for name in ("min_resize_value", "max_resize_value", "resize_factor"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "a positive number, or leave it out")
        if self.max_resize_value is not None:
            require(
                self.min_resize_value is not None, "min_resize_value", None, "a number, since max_resize_value is given"
            )


@dataclasses.dataclass(frozen=True)
class AugmentConfig(ResizeConfig):
    """Resizing and augmentation of training images"""

    min_scale_factor: float = option(0.5, "Smallest scale of the random scaling.")
    max_scale_factor: float = option(2.0, "Largest scale of the random scaling.")
    scale_factor_step_size: float = option(0.25, "Step between the scales. 0: any scale between smallest and largest.")
    flip_probability: float = option(0.5, "Probability that an image is flipped left to right.")
    vertical_flip_probability: float = option(0.0, "Probability that an image is flipped upside down. 0: off.")
    quarter_turns: bool = option(False, "Turn by 0, 90, 180 or 270 degrees, each as often as the others.")
    color_jitter: float = option(0.0, "Change brightness, contrast and saturation by up to this share. 0: off.")
    blur_sigma: float = option(0.0, "Blur with a Gaussian of random sigma up to this many pixels. 0: off.")
    rotation_degrees: float = option(0.0, "Rotate by a random angle up to this many degrees. 0: off.")

    def check(self):
        super().check()
        low, high = self.min_scale_factor, self.max_scale_factor
        require(0 < low <= high, "min_scale_factor", low, f"more than 0, at most max_scale_factor={high}")
        require(self.scale_factor_step_size >= 0, "scale_factor_step_size", self.scale_factor_step_size, "0 or more")
        limits = {"flip_probability": 1, "vertical_flip_probability": 1, "color_jitter": 1}
        for name, limit in {**limits, "blur_sigma": 20, "rotation_degrees": 180}.items():
            value = getattr(self, name)
            require(0 <= value <= limit, name, value, f"0 to {limit}")


@dataclasses.dataclass(frozen=True)
class ReadConfig(Checked):
    """Reading the data set"""

    label_offset: int | None = option(
        None, "tfds: add this to every label, e.g. -1 when masks begin at 1. Labels below 0 are then ignored."
    )
    ignore_label: int | None = option(None, "tfds: label, after adding label_offset, that is no class. Not given: 255.")
    tfds_num_classes: int | None = option(None, "tfds: number of classes, when the data set does not tell it.")
    tfds_data_dir: str | None = option(None, "tfds: folder of the prepared data sets. Not given: the default of TFDS.")
    tfds_image: str | None = option(None, "tfds: name of the image feature, when there are several.")
    tfds_label: str | None = option(None, "tfds: name of the mask feature, when there are several.")

    def check(self):
        ignore = self.ignore_label
        require(ignore is None or 0 <= ignore <= 255, "ignore_label", ignore, "0 to 255")


@dataclasses.dataclass(frozen=True)
class InputConfig(ReadConfig):
    """Reading the data set and feeding the training"""

    cache: bool = option(False, "Decode every image once and keep it in memory. For small data sets.")
    data_service: tuple[str, ...] = option(
        (), "Let these hosts prepare the batches, e.g. grpc://host:5050. Each runs python -m deeplab.data_service."
    )

    def check(self):
        super().check()
        for address in self.data_service:
            require(address.startswith("grpc://"), "data_service", address, "addresses like grpc://host:5050")
        require(not (self.cache and self.data_service), "cache", True, "False together with data_service")
