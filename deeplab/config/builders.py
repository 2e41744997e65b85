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
