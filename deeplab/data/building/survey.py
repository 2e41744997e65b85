"""Guesses the format of label files: what kind of image they are, which values they hold, and which flags read them."""

import collections
from typing import NamedTuple

import numpy as np

from deeplab.data.building import label_rules
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.pictures import images

MOST = 60  # files that are opened, chosen evenly
_SHOWN = 12  # values that the summary lists
_WHITE = 255
_MOSTLY = 4  # times as many: what is rarer than this may be a mistake in a few labels
_TOO_MANY = 64  # no data set has so many colours: they come from edges that were smoothed
_PLURAL = {
    "palette": "palette images",
    "one channel": "images of one channel",
    "colour": "colour images",
    "jpeg": "JPEGs",
    "unreadable": "unreadable",
}


class Survey(NamedTuple):
    """What the label files hold. Values are (R, G, B) if `in_color`, else numbers 0 to 255.

    Only `kinds` is about all files that were opened; the other fields are about the files of the commonest kind.
    """

    kinds: collections.Counter  # kind, a key of _PLURAL: number of files
    kind: str  # the commonest kind that can be read; "" if no file can be read
    files: collections.Counter  # value: number of files that hold it
    pixels: collections.Counter  # value: number of pixels
    in_color: bool  # True for colour images, and for palettes in which one value has different colours
    reason: str  # path of the first unreadable file, and why it cannot be read


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
    return Survey(kinds, kind, files, pixels, kind == "colour" or (kind == "palette" and differ), reason)


class _FileSurvey(NamedTuple):
    """What one label file holds."""

    kind: str
    pixels: dict = {}  # value or colour: number of pixels
    palette: dict = {}  # value: colour, for palette images
    reason: str = ""  # path, and why the file cannot be read


def _inspect_file(path, as_color=False):
    """Returns the `_FileSurvey` of one file; with `as_color` a palette image is counted by its colours."""
    try:
        image = label_rules.open_image(paths.read_regular(path))
        kind = _kind(image)
    except (UserError, OSError) as error:
        return _FileSurvey("unreadable", reason=f"{path}: {error}")
    if kind == "jpeg":
        return _FileSurvey(kind)
    codes = label_rules.color_codes(image)
    if kind == "colour" or (kind == "palette" and as_color):
        return _FileSurvey(kind, {_rgb(code): count for code, count in _counts(codes)[0]})
    counts, first = _counts(label_rules.one_channel(image))
    palette = {value: _rgb(codes.flat[i]) for (value, _), i in zip(counts, first, strict=True)}
    return _FileSurvey(kind, dict(counts), palette if kind == "palette" else {})


def _kind(image):
    """Returns the kind of a PIL image; raises a UserError if labels are not stored in its mode."""
    if image.format in images.JPEGS:
        return "jpeg"
    if image.mode == "P":
        return "palette"
    try:
        label_rules.one_channel(image)
    except UserError:
        if image.mode not in ("RGB", "RGBA"):
            raise
        return "colour"
    return "one channel"


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
    if num_classes == 2 and _black_and_white(survey):
        return "binary"
    return "palette" if survey.kind == "palette" else "index"


def _black_and_white(survey):
    """Tells whether nearly all pixels are 0 or 255; a few wrong labels and smoothed edges may have other values."""
    white = survey.pixels[_WHITE]
    others = survey.pixels.total() - survey.pixels[0] - white
    return bool(survey.pixels[0]) and white > _MOSTLY * others


def _in_steps(survey):
    """Tells whether the values are few and far apart, such as 0, 100, 200: shades of grey that people tell apart."""
    values = survey.files.keys() - {label_rules.DEFAULT_IGNORE}
    return survey.kind == "one channel" and 2 <= len(values) <= max(values) // _MOSTLY


def summary(survey):
    """Returns text: how many files there are of each kind, and which values they hold."""
    kinds = ", ".join(f"{count} {_PLURAL[kind]}" for kind, count in survey.kinds.most_common())
    lines = [f"labels: {survey.kinds.total()} files looked at: {kinds or 'none'}"]
    if survey.files:
        total = survey.pixels.total()
        order = survey.pixels.most_common(_SHOWN) if survey.in_color else sorted(survey.pixels.items())[:_SHOWN]
        shown = [f"{_text(value)} ({count / total:.1%}, {survey.files[value]} files)" for value, count in order]
        more = f", and {len(survey.files) - _SHOWN} more" if len(survey.files) > _SHOWN else ""
        lines.append(f"{'colours' if survey.in_color else 'values'}: {', '.join(shown)}{more}")
    if survey.in_color and survey.kind == "palette":
        lines.append("the same value has different colours in different files: the colours are what counts")
    if survey.reason:
        lines.append(f"unreadable: {survey.reason}")
    return "\n".join(lines)


def suggested_flags(survey):
    """Returns the flags that would build such labels, with names to be filled in, or why no flags would."""
    if survey.kind == "jpeg":
        return (
            "PNG: JPEG changes values at every edge, so save the labels again; only black and white ones can be used, "
            "--label_format=binary --class_names=background,NAME"
        )
    if not survey.kind:
        return "other labels, or another --label_dir: none could be read"
    if survey.in_color and len(survey.files) > _TOO_MANY:
        return f"other labels: {len(survey.files)} colours are no classes; they were resized smoothly, or JPEGs once"
    if survey.in_color:
        names = ",".join(f"NAME{i}={_text(color)}" for i, (color, _) in enumerate(survey.pixels.most_common()))
        return f"--label_format=rgb --class_names={names} (colours that do not count: --ignore_colors=R,G,B)"
    if _black_and_white(survey):
        return "--label_format=binary --class_names=background,NAME"
    if _in_steps(survey):
        shades = [(value, value, value) for value in sorted(survey.files)]
        names = ",".join(f"NAME{i}={_text(shade)}" for i, shade in enumerate(shades))
        return (
            f"--label_format=rgb --class_names={names} (shades that do not count: --ignore_colors=R,G,B), or, where "
            f"the values are ids, --label_format=index --num_classes=N"
        )
    count = max((value for value in survey.files if value != label_rules.DEFAULT_IGNORE), default=0) + 1
    names = ",".join(f"NAME{i}" for i in range(count))
    classes = f"--class_names={names}" if count <= _TOO_MANY else f"--num_classes={count}"
    void = f" ({label_rules.DEFAULT_IGNORE} does not count)" if label_rules.DEFAULT_IGNORE in survey.files else ""
    if min(survey.files) == 1:
        void += ", or one class less and --reduce_zero_label, since 0 does not occur"
    flags = f"--label_format={label_format(survey, 0)} {classes}{void}"
    return f"{flags}; other values that do not count: --ignore_values=N"


def _text(value):
    return f"#{bytes(value).hex()}" if isinstance(value, tuple) else str(value)
