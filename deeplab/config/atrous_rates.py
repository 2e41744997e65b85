"""Atrous rates that fit a training crop: what `--atrous_rates=auto` means."""

import math

AUTO = "auto"
# Rates of the ASPP by output stride. Source: DeepLabv3+, arXiv 1802.02611, sec. 4.
CANONICAL = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36)}
# The smallest rate as a share of the side of the crop in cells. The published networks have rate 6 on the 33 cells of a
# crop of 513 at output stride 16. With this share their rates at strides 8 and 32 come out, too.
_SMALLEST_RATE = 6 / 33
# Above this share of the side of the crop, most cells see padding at a tap. Batch norm averages what they see, and the
# averages do not fit larger images, where most cells see the image. Measured for crops of 9x9 cells: on larger images
# rate 7 costs nothing, rate 8 costs 7 points of pixel accuracy.
_LARGEST_RATE = 0.8


def cells(size, output_stride, image_pyramid=None):
    """Returns the (vertical, horizontal) number of cells that the ASPP sees of an image.

    Args:
      size: (height, width) of the image in pixels.
      output_stride: pixels per cell.
      image_pyramid: scales at which the network sees the image, or None; the smallest scale counts.
    """
    scale = min(image_pyramid or (1.0,))
    return tuple(math.ceil(((side - 1) * scale + 1) / output_stride) for side in size)


def fitting(size, output_stride, image_pyramid=None):
    """Returns the rates for training crops of `size`; the arguments are those of `cells`.

    The rates are in proportion to the smaller side of the crop, and never larger than the canonical rates of the output
    stride. A rate that is not smaller than the side in cells would only see padding, so it is left out.
    """
    side = min(cells(size, output_stride, image_pyramid))
    unit = min(max(1, round(_SMALLEST_RATE * side)), CANONICAL[output_stride][0])
    return tuple(rate for rate in (unit, 2 * unit, 3 * unit) if rate < side)


def sees_mostly_padding(rates, sides):
    """Tells whether a kernel has taps that see the image from a few cells of the crop only.

    Args:
      rates: (vertical, horizontal) of the kernel.
      sides: (vertical, horizontal) number of cells of the crop.
    """
    return any(_LARGEST_RATE < rate / side < 1 for rate, side in zip(rates, sides, strict=True))


def fits(rates, sides):
    """Tells whether a kernel learns from the crop what it needs on larger images; arguments as above.

    A kernel that reaches cells on one axis only, and enough of them, fits: its other taps are 0, see
    `deeplab.model.untrained_taps`.
    """
    reaches = any(rate < side for rate, side in zip(rates, sides, strict=True))
    return reaches and not sees_mostly_padding(rates, sides)


def text(numbers):
    """Returns numbers as a flag takes them, e.g. "6,12,18"."""
    return ",".join(map(str, numbers))
