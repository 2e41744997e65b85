"""Reads image files of every kind as RGB arrays, the right way up.

The processes that build data sets decode images with Pillow alone; that is why only the functions that look at files
import TensorFlow.
"""

import contextlib
import io
import re
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from deeplab.config.options import MAX_IMAGE_PIXELS
from deeplab.errors import UserError, one_line
from deeplab.files import paths
from deeplab.pictures import headers

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
MAX_PIXELS = MAX_IMAGE_PIXELS  # unless a caller names another limit
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")  # not EPS: it would start Ghostscript
# Pillow's names of JPEG files. Phones write MPO, a JPEG with further pictures behind the first; only the first is read.
JPEGS = ("JPEG", "MPO")
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")  # modes of Pillow
_SIXTEEN_BIT_IN_32 = ("PNG", "PPM")  # formats whose 16 bit values Pillow may give as mode I, which has 32 bits
_QUARTER_TURNS = (5, 6, 7, 8)  # values of EXIF's Orientation that exchange height and width
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_DEEP = re.compile(r";1[26]")  # in Pillow's name of the layout of a file, such as "RGB;16B": the bits of a value
_FURTHER_BANDS = "X"  # in Pillow's name of the layout of a TIFF, such as "RGBX": a band that is not read
# What a file may hold and (H, W, 3) uint8 cannot, and what `open_picture` does about it.
LOSSES = {
    "pages": "further pages or frames, of which only the first was used",
    "bands": "further bands besides the colours, which were left out",
    "transparency": "transparent pixels, which were laid on white",
    "depth": "more than 8 bits per value, which were scaled to 8 bits",
}

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `decode` refuses images by MAX_PIXELS


class Picture(NamedTuple):
    """What was read from an image file.

    Attributes:
      pixels: (H, W, 3) uint8.
      losses: keys of `LOSSES`, for what the file holds and the pixels do not.
    """

    pixels: np.ndarray
    losses: tuple[str, ...]


def allow(max_pixels):
    """Lets Pillow open images of up to `max_pixels` in this process, where its own limit is lower."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, -(-max_pixels // 2))  # Pillow refuses twice as many


def open_picture(path, max_pixels=MAX_PIXELS):
    """Returns the `Picture` in a file: its pixels, and what was lost.

    The image is turned as its EXIF data say, transparent images are laid on white, and 16 bit values are scaled to 8.

    Raises:
      UserError: the file cannot be read, is not an image, is damaged, or has more than MAX_PIXELS.
    """
    import tensorflow as tf

    try:
        with paths.open_regular(path) as file:
            content = file.read()
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(f"{path}: cannot be read ({reason})") from None
    return _decode(content, path, max_pixels)


def size(path):
    """Returns the (height, width) of `open_picture(path).pixels` from the header of a file; None if it has none.

    The file may still be damaged. Of a file that says how it is turned behind its pixels, sides may be exchanged.
    """
    with (
        contextlib.suppress(Exception),  # damaged bytes make decoders raise errors of any type
        paths.open_regular(path) as file,
        Image.open(file, formats=FORMATS) as image,
    ):
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _QUARTER_TURNS
        return (image.width, image.height) if turned else (image.height, image.width)
    return None


def decode(content, name, max_pixels=MAX_PIXELS):
    """Returns the (H, W, 3) uint8 pixels of `content`, the bytes of an image file; error messages call it `name`.

    The image is turned and converted as `open_picture` does.

    Raises:
      UserError: the bytes are not an image, are damaged, or hold more than MAX_PIXELS. Damaged or hostile bytes raise
        no other error.
    """
    return _decode(content, name, max_pixels).pixels


def of_pillow(image, name, max_pixels=MAX_PIXELS):
    """Returns the (H, W, 3) uint8 pixels of a Pillow image of any mode; error messages call it `name`.

    The image is turned and converted as `open_picture` does.

    Raises:
      UserError: the image belongs to a damaged file, has more than MAX_PIXELS or none, or values of 32 bits.
    """
    if not 0 < image.width * image.height <= max_pixels:
        raise UserError(f"{name}: {image.width}x{image.height} pixels; expected 1 to {max_pixels}")
    try:
        return np.array(to_rgb(ImageOps.exif_transpose(image), image.format))
    except Exception as error:  # Pillow reads a file only now, and decoders raise errors of any type
        raise UserError(f"{name}: not a readable image ({one_line(error) or type(error).__name__})") from None


def describe_losses(files_of):
    """Returns one line of text for each kind of loss: how many files it concerns, and one of them.

    Args:
      files_of: {key of `LOSSES`: list of the files}.
    """
    counted = [(text, files_of[kind]) for kind, text in LOSSES.items() if files_of.get(kind)]
    return [
        f"{len(files)} {'images have' if len(files) > 1 else 'image has'} {text}, for example {files[0]}"
        for text, files in counted
    ]


def _decode(content, name, max_pixels=MAX_PIXELS):
    """Returns the `Picture` in `content`; raises what `decode` raises."""
    try:
        header = headers.read(content, name)
        if header.pixels > max_pixels:
            size = f"{header.width}x{header.height} pixels"
            raise UserError(f"{name}: {size}; more than {max_pixels} are refused (--max_image_pixels)")
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            layout = _layout(image)
            image.load()
            pixels = np.asarray(to_rgb(ImageOps.exif_transpose(image), image.format))
            return Picture(pixels, _losses(image, layout))
    except UserError:
        raise
    except Image.DecompressionBombError as error:  # `open` itself raises it, before the size is known
        pixels = re.search(r"\d+", str(error))[0]
        raise UserError(f"{name}: {pixels} pixels; more than {max_pixels} are refused (--max_image_pixels)") from None
    except MemoryError:
        raise UserError(f"{name}: decoding it needs more memory than there is") from None
    except Exception as error:  # damaged bytes make decoders raise errors of any type
        reason = one_line(error) or type(error).__name__
        raise UserError(f"{name}: not a readable image ({reason})") from None


def to_rgb(image, file_format):
    """Returns a Pillow image of any mode as mode RGB.

    16 bit values are always divided by 257, whatever the largest value is, so that a dark image stays dark.

    Raises:
      ValueError: the values have 32 bits, or signs, so that nobody knows which of them are black and white.
    """
    if image.mode in _SIXTEEN_BIT or (image.mode == "I" and file_format in _SIXTEEN_BIT_IN_32):
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32 bit or signed values, whose black and white are not known; save it with 8 or 16 bits")
    if _has_alpha(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")


def _has_alpha(image):
    return image.mode in _ALPHA or "transparency" in image.info


def reduces_depth(image):
    """Tells whether Pillow gives 8 bits of an image, which is not loaded yet, whose file has more bits per value."""
    layout = _layout(image)
    return bool(_DEEP.search(layout)) or _maximum(image, layout) > 255


def _layout(image):
    """Returns text that describes how values are stored in the file of a Pillow image that is not loaded yet."""
    return " ".join(str(tile[3]) for tile in image.tile)


def _losses(image, layout):
    """Returns the keys of `LOSSES` that concern a loaded Pillow image, whose file has this `_layout`."""
    deep = image.mode in (*_SIXTEEN_BIT, "I")
    # The other pictures in an MPO are previews and further views of the photograph, which phones add to every JPEG.
    found = {
        "pages": image.format not in JPEGS and is_animated(image),
        "bands": image.format == "TIFF" and _FURTHER_BANDS in layout,
        "transparency": not deep and _has_alpha(image) and image.convert("RGBA").getchannel("A").getextrema()[0] < 255,
        "depth": deep or bool(_DEEP.search(layout)) or _maximum(image, layout) > 255,
    }
    return tuple(kind for kind, is_lost in found.items() if is_lost)


def is_animated(image):
    """Tells whether a file has several pages or frames; a damaged second page does not make the first one useless."""
    with contextlib.suppress(Exception):
        return bool(getattr(image, "is_animated", False))
    return False


def _maximum(image, layout):
    """Returns the value of white that a PPM file names, or 0 for other files."""
    number = re.search(r"\d+", layout) if image.format == "PPM" else None
    return int(number[0]) if number else 0
