"""Image files of every kind, as RGB arrays the right way up. Pillow only."""

import io
import re
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from deeplab.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2")
MAX_PIXELS = 178_956_970  # Pillow takes more for a decompression bomb, and so do we
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")  # not EPS: it would start Ghostscript
JPEGS = ("JPEG", "MPO")  # how Pillow calls them; MPO: a phone appended more pictures, which nobody reads here
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_SIXTEEN_BIT_IN_32 = ("PNG", "PPM")  # Pillow widens their 16 bits to mode I, without changing values
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # what is refused is decided here


def find(pattern, suffixes=SUFFIXES):
    """Returns the files that `pattern` means: a file, a folder, or a glob; sorted.

    Of a folder those with one of `suffixes`, but not hidden ones such as the ._NAME.jpg of macOS.

    Raises:
      UserError: there is none.
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
    """Returns the image in a file as (H, W, 3) uint8: turned as EXIF says, alpha laid on white, 16 bit scaled to 8.

    Raises:
      UserError: the file is no image, is damaged, or too large.
    """
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        raise UserError(f"{path}: cannot be read ({error.message})") from None
    return decode(content, path)


def decode(content, name):
    """Returns encoded image bytes as (H, W, 3) uint8; `name` is what errors call it.

    Raises:
      UserError: whatever is wrong with them; nothing else comes out of damaged or hostile bytes.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{name}: {image.width}x{image.height} pixels; more than {MAX_PIXELS} are refused")
            image.load()
            return np.asarray(to_rgb(ImageOps.exif_transpose(image), image.format))
    except UserError:
        raise
    except Image.DecompressionBombError as error:  # raised before the size can be asked for
        pixels = re.search(r"\d+", str(error))[0]
        raise UserError(f"{name}: {pixels} pixels; more than {MAX_PIXELS} are refused") from None
    except UnidentifiedImageError:
        raise UserError(f"{name}: not a readable image (of no known kind)") from None
    except MemoryError:
        raise UserError(f"{name}: decoding it needs more memory than there is") from None
    except Exception as error:  # decoders stumble over damaged bytes with any error a parser can make
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{name}: not a readable image ({reason})") from None


def to_rgb(image, file_format):
    """Returns any image as mode RGB. What 16 bit values mean depends on mode and format only, not on the values."""
    if image.mode in _SIXTEEN_BIT or (image.mode == "I" and file_format in _SIXTEEN_BIT_IN_32):
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32 bit or signed values, whose black and white are not known; save it with 8 or 16 bits")
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")
