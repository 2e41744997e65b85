"""Reads one image file for a record, with the bands and the depth that the flags ask for.

This module does not import TensorFlow, since worker processes use it.
"""

import importlib.util
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from deeplab.config.options import MAX_IMAGE_PIXELS
from deeplab.data.channels import stored
from deeplab.errors import UserError
from deeplab.pictures import images
from deeplab.pictures.bands import reading, tiff

_NARROW = 1 / 16  # an image that uses no more of its range is nearly black at 8 bits; 12 bits in a file of 16 do so
_OUTSIDE = 0.01  # share of values outside of --value_range that is told
_PNG = b"\x89PNG\r\n\x1a\n"


class ImageRules(NamedTuple):
    """How image files become images of records.

    Attributes:
      bands, value_range: as in `channels.facts`; both empty: RGB of 8 bits.
      num_channels: of the images.
      max_pixels: an image with more is refused.
    """

    bands: tuple = ()
    value_range: tuple | str = ()
    num_channels: int = 3
    max_pixels: int = MAX_IMAGE_PIXELS

    @property
    def reads_bands(self):
        """Tells whether files are read band by band, in place of as RGB of 8 bits."""
        return bool(self.bands or self.value_range)

    @property
    def stores_bands(self):
        """Tells whether records hold images in the form of `channels.stored`."""
        return self.num_channels != 3 or bool(self.value_range)


def read(data, rules):
    """Returns (bytes for the record, their format, (height, width), EXIF orientation, losses) of an image file.

    Args:
      data: the bytes of the file.
      rules: `ImageRules` that ask for bands.

    Returns:
      See above; the pixels are upright. Losses are keys of `report.TOLD`.

    Raises:
      UserError: from `reading.read`, or the file has other numbers of bands or other types than the data set.
    """
    pixels, orientation = reading.read(data, rules.bands, rules.max_pixels)
    if pixels.shape[-1] != rules.num_channels:
        expected = f"{rules.num_channels}, as the first image"
        raise UserError(f"it has {pixels.shape[-1]} bands: expected {expected}; --bands=1,2,3 takes some of them")
    if not rules.value_range and pixels.dtype != np.uint8:
        kind = "32 bit floats" if pixels.dtype == np.float32 else "16 bits"
        raise UserError(f"values of {kind}: say which of them are black and white, --value_range=auto or =LOW,HIGH")
    if rules.stores_bands:
        return stored.encode(pixels), stored.FORMAT, pixels.shape[:2], orientation, _outside(pixels, rules)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue(), "png", pixels.shape[:2], orientation, ()


def _outside(pixels, rules):
    """Returns the losses of pixels for which the range of the data set is too narrow or far too wide."""
    if not rules.value_range or isinstance(rules.value_range, str):
        return ()
    low, high = (np.array(rules.value_range[place::2], np.float32) for place in (0, 1))
    outside = np.mean((pixels < low) | (pixels > high))
    if outside > _OUTSIDE:
        return ("clipped",)
    spread = pixels.max(axis=(0, 1)).astype(np.float64) - pixels.min(axis=(0, 1))
    return ("narrow_in_range",) if np.all(spread <= _NARROW * (high - low)) else ()


def refuse_bands(data):
    """Raises a UserError with the way out if the bytes are a TIFF of many bands or of floats, which RGB cannot hold."""
    if not tiff.is_tiff(data) or importlib.util.find_spec("tifffile") is None:
        return
    try:
        layout = tiff.layout(data)
    except UserError:  # damaged, which the caller says
        return
    if layout.samples not in (1, 3) and not (layout.alpha and layout.samples in (2, 4)) and not layout.colours:
        depth = "" if layout.kind == "uint8" else " --value_range=auto"
        raise UserError(
            f"a TIFF of {layout.samples} bands; say which are channels: --bands=1,2,3 (red, green and blue), or "
            f"--bands=all{depth}"
        )
    if layout.kind not in ("uint8", "bool", "uint16"):
        raise UserError(
            f"a TIFF with values of the type {layout.kind} (32 bits or signed); say which are black and white: "
            "--value_range=auto, --value_range=LOW,HIGH or --value_range=per_image"
        )


def losses(data, image):
    """Returns what RGB of 8 bits loses of an image file, keys of `report.TOLD`.

    Args:
      data: the bytes of the file.
      image: the loaded Pillow image of it.
    """
    found = []
    is_tiff = tiff.is_tiff(data)
    deep = image.mode.startswith("I") or (data.startswith(_PNG) and data[24] == 16) or _deep_tiff(image)
    if deep:
        found.append("depth")
        values = np.asarray(image)
        if image.mode.startswith("I") and int(values.max()) - int(values.min()) <= _NARROW * 65535:
            found.append("narrow")
    if image.format not in images.JPEGS and images.is_animated(image):
        found.append("pages")
    if is_tiff and image.mode in ("L", "I;16", "RGB") and _samples(image) > len(image.getbands()):
        found.append("bands")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if has_alpha and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        found.append("transparency")
    return tuple(found)


def _samples(image):
    return int(image.tag_v2.get(277, 1))  # SamplesPerPixel


def _deep_tiff(image):
    tags = getattr(image, "tag_v2", None)
    return tags is not None and max(tags.get(258, (1,))) > 8  # BitsPerSample
