"""Guesses the format of label files: what kind of image they are, and which values they hold."""

import collections
from typing import NamedTuple

import numpy as np

from deeplab.data.building import label_rules
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.pictures import images

MOST = 60  # files that are opened, chosen evenly
_WIDEST = (1 << 31) - 1  # the largest number of an object that is counted
_WHITE = 255
_MOSTLY = 4  # times as many: what is rarer than this may be a mistake in a few labels
_MOST_VALUES = 4096  # of a file: a photograph in place of a label has as many colours as pixels
_GREY = 24  # largest difference of the channels of a JPEG that shows grey; compression adds colours
_NEAR = 32  # grey levels of a JPEG that are still black or white
_PLURAL = {
    "palette": "palette images",
    "one channel": "images of one channel",
    "wide": "images of one channel with values above 255",
    "colour": "colour images",
    "jpeg": "grey JPEGs",
    "colour jpeg": "colour JPEGs",
    "unreadable": "unreadable",
}
_COLORED = ("colour", "colour jpeg")


class Survey(NamedTuple):
    """What the label files hold. Values are (R, G, B) if `in_color`, else numbers, of 0 to 255 unless they are "wide".

    Only `kinds` is about all files that were opened; the other fields are about the files of the commonest kind.
    """

    kinds: collections.Counter  # kind, a key of _PLURAL: number of files
    kind: str  # the commonest kind that can be read; "" if no file can be read
    files: collections.Counter  # value: number of files that hold it
    pixels: collections.Counter  # value: number of pixels
    in_color: bool  # True for colour images, and for palettes in which one value has different colours
    reason: str  # path of the first unreadable file, and why it cannot be read
    deep: int = 0  # number of files with 16 bits or more
    sizes: dict = {}  # path: (height, width)
    palette: dict = {}  # value: (R, G, B) of palette images, unless `in_color`


def inspect(label_paths):
    """Returns the `Survey` of at most `MOST` of the files `label_paths`; unreadable files are counted."""
    chosen = label_paths[:: -(-len(label_paths) // MOST)] if label_paths else []
    surveys = [_inspect_file(path) for path in chosen]
    kinds = collections.Counter(one.kind for one in surveys)
    kind = next((kind for kind, _ in kinds.most_common() if kind != "unreadable"), "")
    colors, differ = {}, False
    for one in surveys:
        differ |= any(colors.setdefault(value, color) != color for value, color in one.palette.items())
    if kind == "palette" and differ:
        surveys = [_inspect_file(path, as_color=True) for path in chosen]
    files, pixels = collections.Counter(), collections.Counter()
    for one in surveys:
        if one.kind == kind:
            files.update(one.pixels.keys())
            pixels.update(one.pixels)
    reason = next((one.reason for one in surveys if one.reason), "")
    in_color = kind in _COLORED or (kind == "palette" and differ)
    sizes = {path: one.size for path, one in zip(chosen, surveys, strict=True) if one.size}
    deep = sum(one.deep for one in surveys)
    return Survey(kinds, kind, files, pixels, in_color, reason, deep, sizes, {} if in_color else colors)


class _FileSurvey(NamedTuple):
    """What one label file holds."""

    kind: str
    pixels: dict = {}  # value or colour: number of pixels
    palette: dict = {}  # value: colour, for palette images
    reason: str = ""  # path, and why the file cannot be read
    deep: bool = False  # 16 bits or more
    size: tuple = ()  # (height, width)


def _inspect_file(path, as_color=False):
    """Returns the `_FileSurvey` of one file; with `as_color` a palette image is counted by its colours."""
    try:
        image = label_rules.open_image(paths.read_regular(path))
        kind = _kind(image)
    except (UserError, OSError) as error:
        return _FileSurvey("unreadable", reason=f"{path}: {error}")
    size, deep = (image.height, image.width), image.mode.startswith(("I", "F"))
    if kind == "wide":
        return _FileSurvey(kind, dict(_counts(label_rules.one_channel(image, _WIDEST))[0]), deep=True, size=size)
    if kind == "jpeg":
        return _FileSurvey(kind, dict(_counts(np.asarray(image.convert("L")))[0]), size=size)
    codes = label_rules.color_codes(image)
    if kind in _COLORED or (kind == "palette" and as_color):
        return _FileSurvey(kind, {_rgb(code): count for code, count in _commonest(_counts(codes)[0])}, size=size)
    counts, first = _counts(label_rules.one_channel(image))
    palette = {value: _rgb(codes.flat[i]) for (value, _), i in zip(counts, first, strict=True)}
    return _FileSurvey(kind, dict(counts), palette if kind == "palette" else {}, deep=deep, size=size)


def _commonest(counts):
    return sorted(counts, key=lambda pair: -pair[1])[:_MOST_VALUES]


def _kind(image):
    """Returns the kind of a PIL image; raises a UserError if labels are not stored in its mode."""
    if image.format in images.JPEGS:
        return "jpeg" if _is_grey(image) else "colour jpeg"
    if image.mode == "P":
        return "palette"
    try:
        values = label_rules.one_channel(image, _WIDEST)
    except UserError:
        if image.mode not in ("RGB", "RGBA"):
            raise
        return "colour"
    return "one channel" if values.dtype == np.uint8 else "wide"


def _is_grey(image):
    if image.mode == "L":
        return True
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    return bool(np.mean(np.ptp(pixels, axis=-1) > _GREY) < 0.01)


def _counts(values):
    """Returns [(value, number of pixels)], and for each value the flat index of its first pixel."""
    found, first, counts = np.unique(values, return_index=True, return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True)), first


def _rgb(code):
    return int(code) >> 16, int(code) >> 8 & 255, int(code) & 255


def label_format(survey, num_classes):
    """Returns the value of --label_format that fits: "index", "palette", "rgb" or "binary"."""
    if survey.in_color:
        return "rgb"
    if num_classes == 2 and black_and_white(survey):
        return "binary"
    return "palette" if survey.kind == "palette" else "index"


def black_and_white(survey):
    """Tells whether nearly all pixels are black or white; a few wrong labels and smoothed edges may have other values.

    The values of a JPEG may be some grey levels away from 0 and 255.
    """
    near = _NEAR if survey.kind == "jpeg" else 0
    black = sum(count for value, count in survey.pixels.items() if not survey.in_color and value <= near)
    white = sum(count for value, count in survey.pixels.items() if not survey.in_color and value >= _WHITE - near)
    others = survey.pixels.total() - black - white
    return survey.kind != "wide" and bool(black) and white > _MOSTLY * others


def in_steps(survey):
    """Tells whether the values are few and far apart, such as 0, 100, 200: shades of grey that people tell apart."""
    values = survey.files.keys() - {label_rules.DEFAULT_IGNORE}
    return survey.kind == "one channel" and 2 <= len(values) <= max(values) // _MOSTLY


def kinds_text(survey):
    """Returns text: how many files there are of each kind, "2 grey JPEGs, 1 unreadable; 3 looked at"."""
    kinds = ", ".join(f"{count} {_PLURAL[kind]}" for kind, count in survey.kinds.most_common())
    count = len(survey.files)
    values = f"; {count} {'colours' if survey.in_color else 'values'}" if count else ""
    deep = f"; {survey.deep} of 16 bits or more" if survey.deep else ""
    return f"{kinds or 'none'}{values}{deep} ({survey.kinds.total()} looked at)"


def text(value):
    """Returns a value as flags take it: "7", or "#ff8000" for a colour."""
    return f"#{bytes(value).hex()}" if isinstance(value, tuple) else str(value)
