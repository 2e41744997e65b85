"""What makes a pair of image and label good: the checks that builders and the linter share. No TensorFlow, for workers.

Functions raise a `UserError` whose message says what is wrong and what helps; the caller adds the file.
"""

import functools
import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from deeplab.errors import UserError

FORMATS = ("index", "palette", "rgb")
_EXIF_ORIENTATION = 0x0112
_GRAY_MODES = ("L", "1", "I", "I;16", "I;16B")
_SHOWN = 6  # values listed in a message


class LabelRules(NamedTuple):
    """How the pixels of label files become classes.

    `colors` are the RGB triples of the classes (format rgb), `ignore_colors` those that are ignored. `lookup` is None
    or 256 numbers: the label of every value in the files, -1 where it is not allowed; applied before the check.
    """

    num_classes: int
    ignore_label: int = 255
    format: str = "index"
    lookup: tuple | None = None
    colors: tuple = ()
    ignore_colors: tuple = ()


def make_lookup(ignore_label, ignore_values=(), reduce_zero=False):
    """Returns the `lookup` of `LabelRules`: `ignore_values` become the ignore label.

    With `reduce_zero` 0 does, too, and the other values go down by one (ADE20K as others use it: 150 classes).
    """
    values = list(range(256))
    if reduce_zero:
        values = [ignore_label] + [value if value == ignore_label else value - 1 for value in range(1, 256)]
    for value in ignore_values:
        values[value] = ignore_label
    return tuple(values)


def open_image(data):
    """Returns the decoded PIL image of encoded bytes.

    Raises:
      UserError: not an image, cut off, or larger than Pillow's limit (an image bomb).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
            image.load()
            return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"too large, {error}: shrink the image or leave it out") from None
    except UnidentifiedImageError:
        raise UserError("no image that can be read; expected JPEG or PNG") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"damaged or cut off ({error}); get the file again") from None


def image_record(data):
    """Returns (bytes, "jpeg" or "png", (height, width)) to store for an image file; unusual colour modes become RGB.

    Raises:
      UserError: as `open_image`; or the image carries an EXIF rotation, so that its pixels do not lie as it is shown.
    """
    image = open_image(data)
    orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    if orientation not in (0, 1):
        raise UserError(
            f"EXIF orientation {orientation}: pixels are stored rotated, labels would not fit; save the image upright"
        )
    size = (image.height, image.width)
    if image.format in ("JPEG", "PNG") and image.mode in ("RGB", "L"):
        return data, image.format.lower(), size
    return png_bytes(np.asarray(image.convert("RGB"))), "png", size


def png_bytes(array):
    """Returns a uint8 array (H, W) or (H, W, 3) as PNG."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def read_label(data, rules):
    """Returns (H, W) uint8 classes of a label file by `LabelRules`, checked.

    Raises:
      UserError: unreadable, another kind of label than promised, or values outside the classes, with pixel counts.
    """
    image = open_image(data)
    if rules.format == "rgb":
        return _from_colors(image, rules)
    if image.mode == "P" and rules.format == "index":
        raise UserError("palette image where index values were promised; use --label_format=palette")
    if image.mode in ("RGB", "RGBA"):
        raise UserError(
            "colour image where one channel was promised; use --label_format=rgb with the colours of classes"
        )
    if image.mode not in ("P", *_GRAY_MODES):
        raise UserError(f"mode {image.mode}: expected a PNG with one channel")
    values = np.asarray(image)
    if values.dtype != np.uint8:
        if values.max(initial=0) > 255:
            raise UserError(f"label value {values.max()}: expected 0 to 255")
        values = values.astype(np.uint8)
    return classes_of(values, rules)


def classes_of(values, rules):
    """Returns the labels (H, W) uint8 of the values in a file, checked; see `read_label`."""
    counts = np.bincount(values.ravel(), minlength=256)
    lookup = np.arange(256) if rules.lookup is None else np.array(rules.lookup)
    legal = (lookup >= 0) & ((lookup < rules.num_classes) | (lookup == rules.ignore_label))
    bad = np.flatnonzero(counts * ~legal)
    if len(bad):
        good = np.flatnonzero(counts * legal)
        raise UserError(
            f"label values outside the classes 0 to {rules.num_classes - 1} (ignore label {rules.ignore_label}): "
            f"{_listed(bad, counts[bad])}; legal ones: {_listed(good, counts[good]) or 'none'}; "
            "see --ignore_values, --label_format and the number of classes"
        )
    return values if rules.lookup is None else lookup.astype(np.uint8)[values]


def _listed(values, counts):
    shown = [f"{value} ({count} pixels)" for value, count in zip(values, counts, strict=True)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _from_colors(image, rules):
    pixels = np.asarray(image.convert("RGB")).astype(np.uint32)
    codes = (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]
    labels = _color_table(rules.colors, rules.ignore_colors, rules.ignore_label)[codes]
    unknown = codes[labels < 0]
    if unknown.size:
        found, counts = np.unique(unknown, return_counts=True)
        order = np.argsort(-counts)
        colors = [f"{code >> 16},{code >> 8 & 255},{code & 255}" for code in found[order]]
        raise UserError(
            f"colours that belong to no class: {_listed(colors, counts[order])}; add them to the classes file or to "
            "--ignore_colors"
        )
    return labels.astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _color_table(colors, ignore_colors, ignore_label):
    table = np.full(1 << 24, -1, np.int16)
    for label, (red, green, blue) in [*((ignore_label, c) for c in ignore_colors), *enumerate(colors)]:
        table[red << 16 | green << 8 | blue] = label
    return table


def check_same_size(image_size, label_size):
    """Raises a UserError if image and label differ in (height, width)."""
    if image_size != label_size:
        (height, width), (label_height, label_width) = image_size, label_size
        raise UserError(f"image is {width}x{height}, label {label_width}x{label_height} (width x height)")
