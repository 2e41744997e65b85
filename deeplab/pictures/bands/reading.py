"""Reads image files as they are stored: every band, all bits of its values, upright.

`pictures.images` reads the same files as RGB of 8 bits. This module is for data sets whose dataset.json names bands or
a range of values. Alpha is a band like another here: it is left out unless its number is among the bands that are asked
for, and nothing is laid on white.
"""

import io

import numpy as np
from PIL import Image

from deeplab.errors import UserError
from deeplab.pictures import headers, images
from deeplab.pictures.bands import tiff

TYPES = ("uint8", "uint16", "float32")  # that pixels have here; others become the last one where it holds them
_DEEP_PNG = {2: "RGB", 6: "RGBA"}  # colour types of a PNG of 16 bits that Pillow reduces to 8: their modes
_PNG = b"\x89PNG\r\n\x1a\n"
_TURNS = {  # {EXIF orientation: what brings the pixels upright}
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


def read(content, bands=(), max_pixels=images.MAX_PIXELS):
    """Returns (pixels (H, W, C) uint8, uint16 or float32, EXIF orientation 1 to 8) of the bytes of an image file.

    The pixels are upright already.

    Args:
      content: the bytes.
      bands: numbers of the bands to take, from 1, in this order; () takes all but alpha.
      max_pixels: an image with more pixels is refused before it is decoded.

    Raises:
      UserError: the file is no image, damaged, too large, lacks a band, or has values that are no finite numbers.
    """
    pixels, alpha, orientation = (_of_tiff if tiff.is_tiff(content) else _of_other)(content, max_pixels)
    count = pixels.shape[-1]
    if bands and max(bands) > count:
        has = f"it has {count} band{'s' * (count > 1)}"
        raise UserError(f"{has}, and bands={_listed(bands)} asks for band {max(bands)}; name other --bands")
    taken = [band - 1 for band in bands] or [place for place in range(count) if place != alpha - 1]
    if taken != list(range(count)):
        pixels = pixels[..., taken]
    pixels = _of_known_type(pixels)
    turned = _TURNS[orientation](pixels) if orientation in _TURNS else pixels
    return np.ascontiguousarray(turned), orientation


def number_of_bands(content, with_alpha=False):
    """Returns how many bands the bytes of an image file have; without alpha, those that `read` takes if none are named.

    Raises:
      UserError: the file is no image, or damaged.
    """
    if tiff.is_tiff(content):
        found = tiff.layout(content)
        return found.bands - (bool(found.alpha) and not with_alpha)
    with Image.open(io.BytesIO(content), formats=images.FORMATS) as image:
        return len(_plain_mode(image)) - (_plain_mode(image)[-1] == "A" and not with_alpha)


def _listed(bands):
    return ",".join(map(str, bands))


def check_size(height, width, max_pixels):
    """Raises a UserError if an image has more than `max_pixels`."""
    if height * width > max_pixels:
        raise UserError(f"{width}x{height} pixels; more than {max_pixels} are refused (--max_image_pixels)")


def _of_tiff(content, max_pixels):
    """Returns (pixels, number of the band that is alpha or 0, orientation); so does `_of_other`."""
    found, pixels = tiff.read(content, lambda layout: check_size(layout.height, layout.width, max_pixels))
    return pixels, found.alpha, found.orientation


def _of_other(content, max_pixels):
    header = headers.read(content, "file")
    check_size(header.height, header.width, max_pixels)
    with Image.open(io.BytesIO(content), formats=images.FORMATS) as image:
        orientation = image.getexif().get(0x0112, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        if content.startswith(_PNG) and content[24] == 16 and content[25] in _DEEP_PNG:
            mode = _DEEP_PNG[content[25]]
            return _deep_png(content, mode), 4 if mode == "RGBA" else 0, orientation
        if image.mode == "RGB" and images.reduces_depth(image):
            raise UserError(f"a {header.format} of more than 8 bits and several bands; save it as TIFF or PNG")
        image.load()
        if image.mode == "F":
            return np.asarray(image)[..., None], 0, orientation
        if image.mode.startswith("I"):
            return np.asarray(image).clip(0, 65535).astype(np.uint16)[..., None], 0, orientation
        mode = _plain_mode(image)
        pixels = np.asarray(image.convert(mode))
        return pixels.reshape(*pixels.shape[:2], -1), len(mode) if mode[-1] == "A" else 0, orientation


def _plain_mode(image):
    """Returns the mode, one of L, LA, RGB and RGBA, that a Pillow image of 8 bits is taken as."""
    if image.mode in ("L", "1") or image.mode.startswith("I"):
        return "L"
    if image.mode in ("LA", "La"):
        return "LA"
    return "RGBA" if image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info else "RGB"


def _deep_png(content, mode):
    """Returns the pixels (H, W, C) uint16 of a PNG of 16 bits with colours.

    Pillow gives the upper 8 bits of them. If it is told that the values are stored with their lower byte first, it
    gives the other 8 bits.
    """
    halves = []
    for order in ("B", "L"):
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.tile = [one._replace(args=f"{mode};16{order}") for one in image.tile]
            image.load()
            halves.append(np.asarray(image).astype(np.uint16))
    return halves[0] << 8 | halves[1]


def _of_known_type(pixels):
    """Returns pixels as one of `TYPES`, without loss but for the digits that float32 does not hold of a float64."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind not in "iuf":
        raise UserError(f"values of the type {pixels.dtype}; save the image with integers or floats")
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if native.dtype.name in TYPES[:2]:
        return native
    single = native.astype(np.float32)
    if native.dtype.kind in "iu" and not np.array_equal(single.astype(np.int64), native.astype(np.int64)):
        raise UserError(f"integers of up to {int(native.max())}, which float32 does not hold; divide them first")
    if not np.isfinite(single).all():
        count = int((~np.isfinite(single)).sum())
        raise UserError(f"{count} values are no finite numbers (NaN, infinite); replace them, e.g. by the lowest value")
    return single
