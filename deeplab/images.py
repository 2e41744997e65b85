"""Image files of every kind, as RGB arrays the right way up. Pillow only."""

import io
import os

import numpy as np
from PIL import Image, ImageOps

from deeplab.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MAX_PIXELS = 500_000_000  # more is taken for a decompression bomb
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")


def find(pattern):
    """Returns the image files that `pattern` means: a file, a folder (its images), or a glob; sorted.

    Raises:
      UserError: there is none.
    """
    import tensorflow as tf

    if tf.io.gfile.isdir(pattern):
        names = [name for name in tf.io.gfile.listdir(pattern) if name.lower().endswith(SUFFIXES)]
        files = [tf.io.gfile.join(pattern, name) for name in names]
        if not files:
            raise UserError(f"--input={pattern}: no image in the folder ({', '.join(SUFFIXES)})")
    elif tf.io.gfile.exists(pattern):
        files = [pattern]
    else:
        files = tf.io.gfile.glob(pattern)
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
    """Returns encoded image bytes as (H, W, 3) uint8; `name` is what errors call it."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{name}: {image.width}x{image.height} pixels; more than {MAX_PIXELS} are refused")
            image.load()
            return np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name}: not a readable image ({' '.join(str(error).split())})") from None


def unique_names(paths):
    """Returns a name for each file: its stem, or with the suffix where two files have the same stem."""
    stems = [os.path.splitext(os.path.basename(path))[0] for path in paths]
    full = [os.path.basename(path).replace(".", "_") for path in paths]
    return [name if stems.count(stem) > 1 else stem for stem, name in zip(stems, full, strict=True)]


def _rgb(image):
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image).astype(np.uint32)
        image = Image.fromarray((values // 257 if values.max(initial=0) > 255 else values).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return image.convert("RGB")
