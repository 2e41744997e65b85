"""Looks at label files whose format nobody told: what they are, which values they hold, and which flags read them."""

import collections
from typing import NamedTuple

import numpy as np

from deeplab.data.building import label_rules
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.pictures import images

MOST = 60  # files looked at, evenly chosen
_SHOWN = 12  # values told
_WHITE, _MOSTLY = 255, 4
_TOO_MANY = 64  # colours: no data set of this kind, but smoothed edges
_PLURAL = {
    "palette": "palette images",
    "one channel": "images of one channel",
    "colour": "colour images",
    "jpeg": "JPEGs",
    "unreadable": "unreadable",
}


class Survey(NamedTuple):
    """What was seen. Values are (R, G, B) where colours count: `in_color`, and numbers 0 to 255 elsewhere."""

    kinds: collections.Counter  # kind, a key of _PLURAL: files
    kind: str  # the commonest readable one, "" where there is none; the rest is about its files
    files: collections.Counter  # value: files that hold it
    pixels: collections.Counter  # value: pixels
    in_color: bool  # colour images, or palettes that give one value different colours
    reason: str  # why the first of the unreadable ones is, with its path


def look(paths):
    """Returns the `Survey` of some of the label files `paths`; what cannot be read is counted."""
    chosen = paths[:: -(-len(paths) // MOST)] if paths else []
    seen = [_look_at(path) for path in chosen]
    kinds = collections.Counter(one.kind for one in seen)
    kind = next((kind for kind, _ in kinds.most_common() if kind != "unreadable"), "")
    colors, differ = {}, False
    for one in seen:
        differ |= any(colors.setdefault(value, color) != color for value, color in one.palette.items())
    if kind == "palette" and differ:
        seen = [_look_at(path, as_color=True) for path in chosen]
    files, pixels = collections.Counter(), collections.Counter()
    for one in seen:
        if one.kind == kind:
            files.update(one.pixels.keys())
            pixels.update(one.pixels)
    reason = next((one.reason for one in seen if one.reason), "")
    return Survey(kinds, kind, files, pixels, kind == "colour" or (kind == "palette" and differ), reason)


class _Seen(NamedTuple):
    """One file."""

    kind: str
    pixels: dict = {}  # value or colour: how many
    palette: dict = {}  # value: colour
    reason: str = ""


def _look_at(path, as_color=False):
    """Returns the `_Seen` of one file."""
    try:
        image = label_rules.open_image(paths.read(path))
        kind = _kind(image)
    except (UserError, OSError) as error:
        return _Seen("unreadable", reason=f"{path}: {error}")
    if kind == "jpeg":
        return _Seen(kind)
    codes = label_rules.color_codes(image)
    if kind == "colour" or (kind == "palette" and as_color):
        return _Seen(kind, {_rgb(code): count for code, count in _counts(codes)[0]})
    counts, first = _counts(label_rules.one_channel(image))
    palette = {value: _rgb(codes.flat[i]) for (value, _), i in zip(counts, first, strict=True)}
    return _Seen(kind, dict(counts), palette if kind == "palette" else {})


def _kind(image):
    """Returns the kind of a PIL image; raises a UserError if no label is like that."""
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
    """Returns [(value, pixels)] and the place of the first pixel of each."""
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
    """Tells whether the values, which are no colours, are 0 and 255, but for a few labels or edges that are wrong."""
    white = survey.pixels[_WHITE]
    others = survey.pixels.total() - survey.pixels[0] - white
    return bool(survey.pixels[0]) and white > _MOSTLY * others


def _in_steps(survey):
    """Tells whether few values lie far apart, as 0, 100, 200: shades that somebody can tell from each other."""
    values = survey.files.keys() - {label_rules.DEFAULT_IGNORE}
    return survey.kind == "one channel" and 2 <= len(values) <= max(values) // _MOSTLY


def told(survey):
    """Returns lines of text: how many files of which kind, and what values they hold."""
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


def suggestion(survey):
    """Returns the flags that would build such labels, names still to be filled in, or why none would."""
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
