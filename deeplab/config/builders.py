"""Options that all builders share."""

import dataclasses
import math
import os

from deeplab.config.options import Checked, dry_run_option, max_pixels_option, option, require

ALL_BANDS, AUTO_RANGE, PER_IMAGE = "all", "auto", "per_image"  # words of --bands and --value_range


@dataclasses.dataclass(frozen=True)
class BuildConfig(Checked):
    """Writing the shards"""

    output_dir: str = option("", "Folder that receives the shards and dataset.json.")
    num_shards: int = option(4, "Number of shard files per split.")
    num_workers: int = option(0, "Number of processes that read and check images. 0: one per core.")
    append: bool = option(
        False,
        "Add the images as further shards to splits that output_dir holds already, whose classes must be the same.",
    )
    overwrite: bool = option(False, "Replace the splits that output_dir holds already. Other splits stay.")
    skip_bad: bool = option(False, "Leave out pairs of image and label that have errors, instead of stopping.")
    dry_run: bool = dry_run_option("Read and check all images, say how large the shards would be")
    max_image_pixels: int = max_pixels_option()

    @property
    def workers(self):
        """Number of processes, with 0 replaced by the number of cores."""
        return self.num_workers or os.cpu_count() or 1

    def check(self):
        require(bool(self.output_dir), "output_dir", self.output_dir, "a folder, --output_dir=DIR")
        require(0 < self.num_shards < 100000, "num_shards", self.num_shards, "1 to 99999")
        require(not (self.append and self.overwrite), "overwrite", True, "one of --append and --overwrite")
        require(self.max_image_pixels > 0, "max_image_pixels", self.max_image_pixels, "at least 1")
        require(self.num_workers >= 0, "num_workers", self.num_workers, "0 or more")


@dataclasses.dataclass(frozen=True)
class MaskConfig(BuildConfig):
    """Masks that are not exact, masks of single objects, and splits that share nothing"""

    color_tolerance: float = option(
        0.0, "rgb: other colours count as the nearest class colour within this distance in RGB, 0 to 442."
    )
    most_unmatched: float = option(
        0.01, "With --color_tolerance: largest share of a label's pixels without such a colour; they are ignored."
    )
    binary_threshold: int | None = option(None, "binary: the smallest grey value that is white, also in PNG, e.g. 128.")
    resize_masks: bool = option(
        False, "Resize masks of another size than their image by nearest neighbour, if the proportions agree."
    )
    instances_as: str = option("", "The masks number objects: name of the class of all objects; 0 is background.")
    border_class: str = option("", "With --instances_as: name of a class for the border of each object.")
    border_pixels: int = option(2, "Width of the border in pixels, inside of the object.")
    group_by: str = option(
        "", "Regular expression that finds in a name what must not be on both sides, e.g. the patient: '^([^_]+)_'."
    )
    folds: int = option(0, "Divide the pairs into so many parts of equal size, one of which is val: cross-validation.")
    fold: int = option(1, "Which of the --folds is val, 1 to --folds.")

    def check(self):
        super().check()
        require(0 <= self.color_tolerance <= 442, "color_tolerance", self.color_tolerance, "0 to 442")
        require(0 <= self.most_unmatched < 1, "most_unmatched", self.most_unmatched, "0 or more, less than 1")
        threshold = self.binary_threshold
        require(threshold is None or 1 <= threshold <= 65535, "binary_threshold", threshold, "1 to 65535")
        require(1 <= self.border_pixels <= 100, "border_pixels", self.border_pixels, "1 to 100")
        require(self.folds == 0 or self.folds >= 2, "folds", self.folds, "2 or more, or 0 for none")
        require(1 <= self.fold <= max(self.folds, 1), "fold", self.fold, f"1 to --folds={self.folds}")


@dataclasses.dataclass(frozen=True)
class ChannelsConfig(Checked):
    """Images beyond RGB of 8 bits"""

    value_range: tuple[str, ...] = option(
        (),
        "Values that become black and white, for images of more than 8 bits, which are stored with all bits: 0,4095 "
        "for all bands, a pair for each band, auto (what the images use), or per_image (each image by itself).",
    )
    bands: tuple[str, ...] = option(
        (),
        "Bands of the images that become the channels, numbered from 1, e.g. 4,3,2; or all. Pages of one size count as "
        "further bands. Not given: RGB, with transparent pixels laid on white.",
    )

    def check(self):
        _check_bands(self.bands)
        words, count = ((AUTO_RANGE,), (PER_IMAGE,)), len(self.value_range)
        expected = f"LOW,HIGH, a pair for each band, {AUTO_RANGE} or {PER_IMAGE}"
        if self.value_range and self.value_range not in words:
            numbers = [_number(text) for text in self.value_range]
            fits = count % 2 == 0 and None not in numbers
            ordered = fits and all(low < high for low, high in zip(numbers[::2], numbers[1::2], strict=True))
            require(ordered, "value_range", ",".join(self.value_range), expected)
        pairs = self.value_range not in words and count > 2 and self.bands != (ALL_BANDS,)
        require(not pairs or count == 2 * len(self.bands), "value_range", ",".join(self.value_range), expected)


def _check_bands(bands):
    legal = bands == (ALL_BANDS,) or all(text.isdecimal() and int(text) >= 1 for text in bands)
    require(legal, "bands", ",".join(bands), f"numbers from 1, such as 4,3,2, or {ALL_BANDS}")


def _number(text):
    """Returns the finite number that a text says, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
