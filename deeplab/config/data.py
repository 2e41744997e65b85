"""Options of the input: resizing, augmentation, where examples come from. Names and defaults are the reference's."""

import dataclasses

from deeplab.config.options import Checked, option, require

TFDS_PREFIX = "tfds:"


@dataclasses.dataclass(frozen=True)
class ResizeConfig(Checked):
    """Resizing of images before the network sees them

    Names and defaults are the reference's.
    """

    min_resize_value: int | None = option(None, "Resize so that the shorter side has this many pixels.")
    max_resize_value: int | None = option(None, "Longest side after resizing; wins over min_resize_value.")
    resize_factor: int | None = option(None, "Round resized sides up to a multiple of this plus one.")
    keep_aspect_ratio: bool = option(True, "Has no effect; the reference has the flag and never reads it.")

    def check(self):
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

    min_scale_factor: float = option(0.5, "Smallest random scale.")
    max_scale_factor: float = option(2.0, "Largest random scale.")
    scale_factor_step_size: float = option(0.25, "Step between random scales; 0: any scale in between.")
    flip_probability: float = option(0.5, "Probability that an image is mirrored left to right.")
    color_jitter: float = option(0.0, "Brightness, contrast and saturation change by up to this share; 0: off.")
    blur_sigma: float = option(0.0, "Gaussian blur with a random sigma up to this many pixels; 0: off.")
    rotation_degrees: float = option(0.0, "Rotation by a random angle up to this many degrees; 0: off.")

    def check(self):
        super().check()
        low, high = self.min_scale_factor, self.max_scale_factor
        require(0 < low <= high, "min_scale_factor", low, f"more than 0, at most max_scale_factor={high}")
        require(self.scale_factor_step_size >= 0, "scale_factor_step_size", self.scale_factor_step_size, "0 or more")
        for name, limit in (("flip_probability", 1), ("color_jitter", 1), ("blur_sigma", 20), ("rotation_degrees", 45)):
            value = getattr(self, name)
            require(0 <= value <= limit, name, value, f"0 to {limit}")


@dataclasses.dataclass(frozen=True)
class ReadConfig(Checked):
    """How records are read, besides dataset_dir and the split"""

    label_offset: int | None = option(
        None, "tfds: added to every label, e.g. -1 where masks begin at 1; below 0 is ignored."
    )
    ignore_label: int | None = option(None, "tfds: label (after label_offset) that is not a class; not given: 255.")
    tfds_num_classes: int | None = option(None, "tfds: number of classes, where the data set does not say.")
    tfds_data_dir: str | None = option(None, "tfds: folder of the prepared data sets; not given: TFDS's own default.")
    tfds_image: str | None = option(None, "tfds: name of the image feature, where there are several.")
    tfds_label: str | None = option(None, "tfds: name of the mask feature, where there are several.")

    def check(self):
        ignore = self.ignore_label
        require(ignore is None or 0 <= ignore <= 255, "ignore_label", ignore, "0 to 255")


@dataclasses.dataclass(frozen=True)
class InputConfig(ReadConfig):
    """How the input is fed to training"""

    cache: bool = option(False, "Decode every image once and keep it in memory (small data sets).")
    data_service: tuple[str, ...] = option(
        (), "Prepare batches on these hosts, e.g. grpc://host:5050, each running python -m deeplab.data_service."
    )

    def check(self):
        super().check()
        for address in self.data_service:
            require(address.startswith("grpc://"), "data_service", address, "addresses like grpc://host:5050")
        require(not (self.cache and self.data_service), "cache", True, "False together with data_service")
