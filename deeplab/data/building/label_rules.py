"""Reads and checks image and label files, for the builders and the linter.

Functions raise a `UserError` that says what is wrong and what helps; the caller adds the name of the file. This module
does not import TensorFlow, since worker processes use it.
"""

import functools
import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from deeplab.config.options import MAX_IMAGE_PIXELS
from deeplab.data.building import upright
from deeplab.data.building.bands import rules as image_rules
from deeplab.data.building.splitting import likeness
from deeplab.errors import UserError, one_line
from deeplab.pictures import headers, images
from deeplab.pictures.bands.reading import check_size

FORMATS = ("index", "palette", "rgb", "binary", "instances")
DEFAULT_IGNORE = 255
_GRAY_MODES = ("L", "1", "I", "I;16", "I;16B", "F")
_RGB = image_rules.ImageRules()
_SHOWN = 6  # values that a message lists
_SMOOTH_SHARE = 0.1  # largest share of a JPEG's pixels between black and white; compression blurs the edges
_NEAR = 32  # grey levels from black or white that still count as black or white in a JPEG


class LabelRules(NamedTuple):
    """How the pixels of label files become classes.

    Attributes:
      num_classes: labels are 0 to num_classes - 1.
      ignore_label: the label of ignored pixels.
      format: one of `FORMATS`.
      lookup: 256 numbers or more, the label of every value in the files, or -1 if the value is not allowed; None: the
        values are the labels.
      colors: (R, G, B) of each class, for the format "rgb".
      ignore_colors: colours of ignored pixels, for the format "rgb".
      color_tolerance: "rgb": a colour counts as the nearest one of these if it is no farther from it in RGB than this.
      most_unmatched: "rgb" with a tolerance: the largest share of a file's pixels that may have no such colour. They
        are ignored.
      binary_threshold: "binary": the smallest grey value of class 1; None: only black and white are allowed.
      border_pixels: "instances": so many pixels at the border of each object are class 2; 0: there is no class 2.
      resize: labels of another size than their image take its size if the proportions agree.
      images: how image files become images of records.
    """

    num_classes: int
    ignore_label: int = DEFAULT_IGNORE
    format: str = "index"
    lookup: tuple | None = None
    colors: tuple = ()
    ignore_colors: tuple = ()
    color_tolerance: float = 0.0
    most_unmatched: float = 0.0
    binary_threshold: int | None = None
    border_pixels: int = 0
    resize: bool = False
    images: image_rules.ImageRules = image_rules.ImageRules()


class StoredImage(NamedTuple):
    """What is stored for an image file."""

    data: bytes
    format: str  # "jpeg", "png" or that of `channels.stored`
    size: tuple  # (height, width)
    orientation: int = 1  # EXIF orientation in the file, 1 to 8; `data` is upright
    losses: tuple = ()  # keys of `bands.report.TOLD`
    look: bytes = b""  # of `likeness.look`


def make_lookup(ignore_label, ignore_values=(), reduce_zero=False):
    """Returns the `lookup` of `LabelRules`: `ignore_values` become the ignore label.

    With `reduce_zero` the value 0 becomes the ignore label, too, and all other values go down by one. That is how
    ADE20K is used with 150 classes.
    """
    values = list(range(256))
    if reduce_zero:
        values = [ignore_label] + [value if value == ignore_label else value - 1 for value in range(1, 256)]
    for value in ignore_values:
        values[value] = ignore_label
    return tuple(values)


def open_image(data, max_pixels=MAX_IMAGE_PIXELS):
    """Returns the decoded PIL image of encoded bytes.

    Raises:
      UserError: the bytes are no image, are cut off, or hold more pixels than `max_pixels` (an image bomb).
    """
    if not data:
        raise UserError("the file is empty; get it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # at half of the limit
            image = Image.open(io.BytesIO(data), formats=images.FORMATS)
            headers.read(data, "file")  # refuses what asks for much more work than it has pixels
            check_size(image.height, image.width, max_pixels)
            image.load()
            return image
    except Image.DecompressionBombError as error:
        raise UserError(f"too large, {one_line(error)}: shrink it, leave it out, or --max_image_pixels") from None
    except UnidentifiedImageError:
        raise UserError("no image that can be read; expected JPEG or PNG") from None
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"damaged or cut off ({error}); get the file again") from None


def stored_image(data, rules=_RGB):
    """Returns the `StoredImage` of an image file; unusual colour modes become RGB unless `rules` ask for bands.

    Raises:
      UserError: as `open_image`, or the image has 32 bits or bands that RGB cannot hold.
    """
    if rules.reads_bands:
        return StoredImage(*image_rules.read(data, rules))
    try:
        image = open_image(data, rules.max_pixels)
    except UserError:
        image_rules.refuse_bands(data)
        raise
    lost = image_rules.losses(data, image)
    orientation = upright.orientation(image)
    plain = image.mode in ("RGB", "L") and "transparency" not in image.info
    kind = "jpeg" if image.format in images.JPEGS else image.format.lower()
    look = likeness.look(image)
    if plain and orientation == 1 and kind in ("jpeg", "png"):
        return StoredImage(data, kind, (image.height, image.width), look=look, losses=lost)
    try:
        return StoredImage(*upright.encode(image), orientation, lost, look)
    except ValueError as error:
        image_rules.refuse_bands(data)
        raise UserError(str(error)) from None


def read_label(data, rules):
    """Returns the checked labels (H, W) uint8 of a label file.

    Raises:
      UserError: the file cannot be read, has another format than `rules` say, or holds values outside the classes.
    """
    image = open_image(data, rules.images.max_pixels)
    if rules.format == "binary":
        return to_classes(_from_binary(image, rules.binary_threshold), rules)
    if image.format == "JPEG":
        raise UserError(
            "JPEG, which changes values at every edge: save labels as PNG; black and white ones: --label_format=binary"
        )
    if rules.format == "rgb":
        return _from_colors(image, rules)
    if image.mode == "P" and rules.format == "index":
        raise UserError("palette image where index values were promised; use --label_format=palette")
    return to_classes(one_channel(image, len(rules.lookup or ()) - 1), rules)


def one_channel(image, most=255):
    """Returns the values (H, W) of a PIL image with one channel, or with several that are equal, alpha aside.

    They are uint8, or int64 where `most` and a value are above 255.

    Raises:
      UserError: the image has colours, transparency, or values above 255 and `most`.
    """
    if image.mode in ("LA", "RGB", "RGBA"):
        channels = np.asarray(image)
        if image.mode in ("LA", "RGBA"):
            if (channels[..., -1] != 255).any():
                raise UserError(f"mode {image.mode}, and not opaque: expected a PNG with one channel")
            channels = channels[..., :-1]
        if (channels != channels[..., :1]).any():
            raise UserError(
                "colour image where one channel was promised; save it as the other labels are, or, where all are in "
                "colour, use --label_format=rgb with the colours of classes"
            )
        return channels[..., 0]
    if image.mode not in ("P", *_GRAY_MODES):
        raise UserError(f"mode {image.mode}: expected a PNG with one channel")
    values = np.asarray(image)
    if values.dtype == np.uint8:
        return values
    if image.mode == "F" and not np.array_equal(values, np.rint(values)):
        raise UserError("values that are no whole numbers, as class ids are")
    largest = values.max(initial=0)
    if largest > max(255, most) or values.min(initial=0) < 0:
        raise UserError(
            f"label values {values.min()} to {largest}: expected ids of 0 to 255, saved with 8 bits; if they number "
            "objects, --instances_as=CLASS makes these a class"
        )
    return values.astype(np.uint8 if largest <= 255 else np.int64)


def _from_binary(image, threshold=None):
    """Returns (H, W) uint8: 0 where the image is black, 1 where it is white.

    Without a `threshold`, only JPEGs may have some grey pixels. With one, the grey values from there on are white.
    """
    grey = image.format == "JPEG" or image.mode == "P" or threshold is not None
    values = one_channel(image.convert("L") if grey and not image.mode.startswith("I") else image, 65535)
    if threshold is not None:
        return (values >= (255 if image.mode == "1" else threshold)).astype(np.uint8)
    if image.format == "JPEG":
        between = np.mean((values > _NEAR) & (values < 255 - _NEAR))
        if between > _SMOOTH_SHARE:
            raise UserError(
                f"{between:.0%} of its pixels are grey where --label_format=binary promises black and white; "
                "--binary_threshold=128 takes grey values from there on as white"
            )
        return (values >= 128).astype(np.uint8)
    found = np.unique(values)
    white = 1 if image.mode == "1" else 255
    if not set(found.tolist()) <= {0, white}:
        counts = np.bincount(values.ravel())
        raise UserError(
            f"values {_listed(found, counts[found])} where black (0) and white ({white}) were promised; "
            "--label_format=index where they are class ids; --binary_threshold=128 takes values from there on as white"
        )
    return (values > 0).astype(np.uint8)


def histogram(values):
    """Returns the number of pixels of each value of (H, W), 256 numbers at least; Pillow counts 8 bits most quickly."""
    if values.dtype == np.uint8 and values.size:
        return np.array(Image.fromarray(values).histogram())
    return np.bincount(values.ravel(), minlength=256)


def to_classes(values, rules):
    """Returns the checked labels (H, W) uint8 of the values in a file; raises a UserError as `read_label` does."""
    counts = histogram(values)
    lookup = np.arange(256) if rules.lookup is None else np.array(rules.lookup)
    lookup = np.pad(lookup, (0, max(0, len(counts) - len(lookup))), constant_values=-1)
    counts = np.pad(counts, (0, len(lookup) - len(counts)))
    legal = (lookup >= 0) & ((lookup < rules.num_classes) | (lookup == rules.ignore_label))
    bad = np.flatnonzero(counts * ~legal)
    if len(bad):
        good = np.flatnonzero(counts * legal)
        raise UserError(
            f"label values outside the classes {_legal_text(rules, lookup)} (ignore label {rules.ignore_label}): "
            f"{_listed(bad, counts[bad])}; legal ones: {_listed(good, counts[good]) or 'none'}; "
            "see --ignore_values, --reduce_zero_label (ids from 1), --label_format and the number of classes"
        )
    return values if rules.lookup is None else lookup.astype(np.uint8)[values]


def _legal_text(rules, lookup):
    """Returns "0 to 6", or the values that the classes have in the files where these are others: "1, 4, 7"."""
    values = np.flatnonzero((lookup >= 0) & (lookup != rules.ignore_label)).tolist()
    if values == list(range(min(values, default=0), max(values, default=0) + 1)) or -1 not in lookup:
        return f"0 to {rules.num_classes - 1}"
    return f"of the ids {', '.join(map(str, values[:_SHOWN]))}{' and more' if len(values) > _SHOWN else ''}"


def _listed(values, counts):
    shown = [f"{value} ({count} pixels)" for value, count in zip(values, counts, strict=True)]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _from_colors(image, rules):
    codes = color_codes(image)
    labels = color_table(rules.colors, rules.ignore_colors, rules.ignore_label)[codes]
    unknown = codes[labels < 0]
    if unknown.size:
        found, counts = np.unique(unknown, return_counts=True)
        order = np.argsort(-counts)
        colors = [f"{code >> 16},{code >> 8 & 255},{code & 255}" for code in found[order]]
        hint = " (one channel: rather --label_format=index?)" if image.mode in _GRAY_MODES else ""
        raise UserError(
            f"colours that belong to no class: {_listed(colors, counts[order])}; "
            f"{1 - unknown.size / codes.size:.1%} of the pixels match. Add them to --class_names or to "
            f"--ignore_colors, or --color_tolerance=N takes the nearest colour{hint}"
        )
    return labels.astype(np.uint8)


def color_codes(image):
    """Returns red << 16 | green << 8 | blue of a PIL image, (H, W) uint32; its values must fit in 8 bits."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(one_channel(image))
    pixels = np.asarray(image.convert("RGB")).astype(np.uint32)
    return (pixels[..., 0] << 16) | (pixels[..., 1] << 8) | pixels[..., 2]


@functools.lru_cache(maxsize=1)
def color_table(colors, ignore_colors, ignore_label):
    """Returns (2 ** 24,) int16: the label of every `color_codes` value, -1 where it is the colour of none."""
    table = np.full(1 << 24, -1, np.int16)
    for label, (red, green, blue) in [*((ignore_label, c) for c in ignore_colors), *enumerate(colors)]:
        table[red << 16 | green << 8 | blue] = label
    return table
