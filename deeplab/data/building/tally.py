"""Counts what the images of a split hold: for dataset.json, from which training computes weights of classes."""

import dataclasses

import numpy as np


def _zeros():
    return np.zeros(256, np.int64)


@dataclasses.dataclass
class Tally:
    """Counts of some images.

    Attributes:
      images: number of images.
      histogram: (256,) number of pixels of each label value.
      image_pixels: (256,) for each label value the number of pixels, ignored ones included, of the images that hold it.
      height, width: sums of the sides of the images.
      largest_size: the smallest (height, width) that holds every image; () without images.
    """

    images: int = 0
    histogram: np.ndarray = dataclasses.field(default_factory=_zeros)
    image_pixels: np.ndarray = dataclasses.field(default_factory=_zeros)
    height: int = 0
    width: int = 0
    largest_size: tuple[int, ...] = ()

    def add(self, histogram, size):
        """Counts one image of `size` (height, width) whose label has this histogram, (256,)."""
        self.images += 1
        self.histogram += histogram
        self.image_pixels += np.where(histogram > 0, size[0] * size[1], 0)
        self.height += size[0]
        self.width += size[1]
        self.largest_size = tuple(max(sides) for sides in zip(self.largest_size or size, size, strict=True))

    @property
    def mean_size(self):
        """The mean [height, width] to a tenth of a pixel; [] without images."""
        return [round(side / self.images, 1) for side in (self.height, self.width)] if self.images else []
