"""Reads image files of every kind as RGB arrays, the right way up.

The processes that build data sets decode images with Pillow alone; that is why only the functions that look at files
import TensorFlow.
"""

import io
import re
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from deeplab.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
MAX_PIXELS = 178_956_970  # a small file with more pixels may be an attack on the memory; the limit is Pillow's
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")  # not EPS: it would start Ghostscript
# Pillow's names of JPEG files. Phones write MPO, a JPEG with further pictures behind the first; only the first is read.
JPEGS = ("JPEG", "MPO")
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")  # modes of Pillow
_SIXTEEN_BIT_IN_32 = ("PNG", "PPM")  # formats whose 16 bit values Pillow may give as mode I, which has 32 bits
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `decode` refuses images by MAX_PIXELS


def find(pattern, suffixes=SUFFIXES):
    """Returns the sorted paths of the files that `pattern` means.

    Args:
      pattern: a file, a folder, or a pattern such as photos/*.jpg. Of a folder, the files with one of the suffixes are
        taken, except for hidden files: macOS puts a ._NAME.jpg, which is no image, beside NAME.jpg.
      suffixes: endings of file names, in lower case.

    Raises:
      UserError: there is no such file.
    """
    import tensorflow as tf

    if tf.io.gfile.isdir(pattern):
        names = [name for name in tf.io.gfile.listdir(pattern) if name.lower().endswith(tuple(suffixes))]
        names = [name for name in names if not name.startswith(".")]
        files = [tf.io.gfile.join(pattern, name) for name in names]
        if not files:
            raise UserError(f"--input={pattern}: no image in the folder ({', '.join(suffixes)})")
    elif tf.io.gfile.exists(pattern):
        files = [pattern]
    else:
        files = [path for path in tf.io.gfile.glob(pattern) if not tf.io.gfile.isdir(path)]
        if not files:
            raise UserError(f"--input={pattern}: no such file or folder, and no file matches it as a pattern")
    return sorted(files)


def read(path):
    """Returns the image in a file as (H, W, 3) uint8.

    The image is turned as its EXIF data say, transparent images are laid on white, and 16 bit values are scaled to 8.

    Raises:
      UserError: the file cannot be read, is not an image, is damaged, or has more than MAX_PIXELS.
    """
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be read ({error.message})") from None
    return decode(content, path)


def decode(content, name):
    """Returns the image in `content`, the bytes of an image file, as `read` does; error messages call it `name`.

    Raises:
      UserError: the bytes are not an image, are damaged, or hold more than MAX_PIXELS. Damaged or hostile bytes raise
        no other error.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{name}: {image.width}x{image.height} pixels; more than {MAX_PIXELS} are refused")
            image.load()
            return np.asarray(to_rgb(ImageOps.exif_transpose(image), image.format))
    except UserError:
        raise
    except Image.DecompressionBombError as error:  # `open` itself raises it, before the size is known
        pixels = re.search(r"\d+", str(error))[0]
        raise UserError(f"{name}: {pixels} pixels; more than {MAX_PIXELS} are refused") from None
    except UnidentifiedImageError:
        raise UserError(f"{name}: not a readable image (of no known kind)") from None
    except MemoryError:
        raise UserError(f"{name}: decoding it needs more memory than there is") from None
    except Exception as error:  # damaged bytes make decoders raise errors of any type
        reason = " ".join(str(error).split()) or type(error).__name__
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
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")
