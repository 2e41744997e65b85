"""The table of what a folder holds: files, kind of labels, classes and their pixels, sizes, splits, what is odd."""

import collections
import os
from typing import NamedTuple

from deeplab.data.building import label_rules, survey
from deeplab.data.building.class_lists.rows import ClassList
from deeplab.files import escaping
from deeplab.pictures import images as pictures

_SHOWN = 64  # rows of classes
_UNNAMED = 8  # rows of values without a name
_NAMES = 3  # names that a line lists
_UNKNOWN, _NO_NAME, _VOID = "?", "(no name)", "(does not count)"
_WITHOUT_NAME = (_UNKNOWN, _NO_NAME)


class Found(NamedTuple):
    """What was found for a build.

    Attributes:
      images, labels: {name: path}; labels may be folders of masks of single objects.
      splits: {split: [`listing.Pair`]}.
      seen: `survey.Survey` of the labels.
      classes: `ClassList`, or None if they have no names.
      label_format: how the labels are read, of `label_rules.FORMATS`.
      ignored: values that do not count.
    """

    images: dict
    labels: dict
    splits: dict
    seen: survey.Survey
    classes: ClassList | None = None
    label_format: str = "index"
    ignored: tuple = ()


class Row(NamedTuple):
    """A row of the table of classes."""

    value: str  # value or colour in the labels
    name: str  # of the class, or one of `_WITHOUT_NAME`, or that it does not count
    pixels: int
    files: int


def text(found):
    """Returns the table of a `Found` as text."""
    rows = [("files", _files(found)), ("labels", _labels(found)), ("sizes", _sizes(found)), ("splits", _splits(found))]
    rows += [("classes" if i == 0 else "", line) for i, line in enumerate(_classes(found))]
    rows += [("odd" if i == 0 else "", line) for i, line in enumerate(_odd(found))]
    return "\n".join(escaping.terminal(f"{head:9}{line}".rstrip()) for head, line in rows if line)


def _files(found):
    lone = [f"{len(without)} {kind} without {other}" for kind, without, other in _lone(found) if without]
    pairs = sum(1 for name in found.images if name in found.labels)
    counts = f"{len(found.images)} images ({_kinds(found.images)}), {len(found.labels)} labels ({_kinds(found.labels)})"
    return ", ".join([counts, f"{pairs} of the same name" if lone else "all in pairs"])


def _lone(found):
    listed = [pair for pairs in found.splits.values() for pair in pairs]
    return (
        ("images", [pair.image for pair in listed if pair.image and not pair.label], "label"),
        ("labels", [pair.label for pair in listed if pair.label and not pair.image], "image"),
    )


def _kinds(files):
    kinds = collections.Counter(os.path.splitext(path)[1].lower() or "folders" for path in files.values())
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _labels(found):
    if not found.seen.kinds:
        return "folders of masks of single objects"
    return survey.kinds_text(found.seen)


def _sizes(found):
    sizes = sorted(found.seen.sizes.values(), key=lambda size: size[0] * size[1])
    if not sizes:
        return ""
    (height, width), (most_height, most_width) = sizes[0], sizes[-1]
    smallest, largest = f"{width}x{height}", f"{most_width}x{most_height}"
    return f"{smallest} (width x height)" if len(set(sizes)) == 1 else f"{smallest} to {largest} (width x height)"


def _splits(found):
    return ", ".join(f"{split} {len(pairs)}" for split, pairs in found.splits.items())


def _classes(found):
    """Returns the lines of the table of classes: value or colour in the labels, name, share of pixels, files."""
    rows = class_rows(found)
    if not rows:
        return []
    total = max(found.seen.pixels.total(), 1)
    named = [row for row in rows if row.name not in _WITHOUT_NAME]
    others = [row for row in rows if row.name in _WITHOUT_NAME]
    lines = [f"{'in labels':12}{'name':24}{'pixels':>8}  files"]
    for value, name, count, files in [*named[:_SHOWN], *others[:_UNNAMED]]:
        lines.append(f"{value:12}{name:24}{count / total:8.2%}  {files}")
    more = len(rows) - len(lines) + 1
    return lines + ([f"and {more} more"] if more > 0 else [])


def class_rows(found):
    """Returns the `Row`s of the classes, and of what else occurs in the labels; [] if they number objects."""
    seen = found.seen
    if found.label_format == "instances" or not seen.kind:
        return []
    groups = _groups(found)
    rows = []
    for values, name in groups:
        shown = _value(values[0], seen) if values else "-"
        if len(values) > 1:
            shown = f"{values[0]} to {values[-1]}"
        rows.append(_row(shown, name, values, seen))
    named = {value for values, _name in groups for value in values}
    others = [value for value in seen.files if value not in named]
    others.sort(key=(lambda value: -seen.pixels[value]) if seen.in_color else None)
    return rows + [_row(_value(value, seen), _unnamed(value, found), [value], seen) for value in others]


def _row(shown, name, values, seen):
    return Row(shown, name, sum(seen.pixels[v] for v in values), max((seen.files[v] for v in values), default=0))


def _groups(found):
    """Returns [(values in the labels, name)] of the classes that have names."""
    classes, seen = found.classes, found.seen
    if found.label_format == "binary" or (classes is None and survey.black_and_white(seen)):
        halves = [[v for v in sorted(seen.files) if v < 128], [v for v in sorted(seen.files) if v >= 128]]
        if set(seen.files) <= {0, 1}:
            halves = [[0], [1]]
        return list(zip(halves, classes.names if classes else (_UNKNOWN, _UNKNOWN), strict=False))
    if classes is None:
        return []
    if found.label_format == "rgb":
        keys = classes.colors if seen.in_color else [_shade(color, seen) for color in classes.colors]
        return [([key], name) for key, name in zip(keys, classes.names, strict=False)]
    ids = classes.ids or {label: label for label in range(len(classes.names))}
    return [([v for v, label in ids.items() if label == c], name) for c, name in enumerate(classes.names)]


def _shade(color, seen):
    """Returns the value in labels with a palette or one channel that has this colour, or the colour itself."""
    shades = {shown: value for value, shown in seen.palette.items()} or {(v,) * 3: v for v in seen.files}
    return shades.get(color, color)


def _value(value, seen):
    color = seen.palette.get(value)
    return f"{survey.text(value)} {survey.text(color)}" if color else survey.text(value)


def _unnamed(value, found):
    void = value == label_rules.DEFAULT_IGNORE and not found.seen.in_color
    if (
        void
        or value in found.ignored
        or (found.classes and value in found.classes.void_ids + found.classes.void_colors)
    ):
        return _VOID
    return _NO_NAME if found.classes else _UNKNOWN


def _odd(found):
    """Returns lines about what needs a look."""
    seen, lines = found.seen, []
    for kind, files, other in _lone(found):
        if files:
            lines.append(f"{len(files)} {kind} without {other}, such as {', '.join(files[:_NAMES])}")
    if len(seen.kinds) > 1:
        lines.append("the labels are of several kinds; the commonest is looked at")
    if seen.reason:
        lines.append(f"unreadable: {seen.reason}")
    lines += _wrong_sizes(found)
    rows = class_rows(found)
    unnamed = [(value, count) for value, name, count, _files in rows if name == _NO_NAME]
    if unnamed and not (found.label_format == "rgb" and len(unnamed) > _NAMES * 4):
        shown = ", ".join(f"{value} ({count} pixels)" for value, count in unnamed[:_NAMES])
        lines.append(f"{len(unnamed)} values in the labels have no class name: {shown}")
    elif unnamed:
        share = sum(count for _value, count in unnamed) / max(seen.pixels.total(), 1)
        lines.append(f"{len(unnamed)} colours have no class name, {share:.2%} of the pixels: see --color_tolerance")
    absent = [name for _value, name, count, _files in rows if not count]
    if absent:
        lines.append(f"do not occur in the labels looked at: {', '.join(absent[: _NAMES * 3])}")
    if seen.in_color and seen.kind == "palette":
        lines.append("the same palette value has different colours in different files: the colours are what counts")
    if seen.deep and seen.kind == "one channel" and found.label_format != "instances":
        lines.append("labels of 16 bits or more: ids of classes, unless they number objects (--instances_as=CLASS)")
    if not any(split.startswith("train") for split in found.splits):
        lines.append("no split is for training: --split=train makes one of all pairs, unless lists name them")
    return lines


def _wrong_sizes(found):
    """Returns a line about labels of another size than their image, among those that were looked at."""
    image_of = {found.labels[name]: path for name, path in found.images.items() if name in found.labels}
    wrong = []
    for label, size in found.seen.sizes.items():
        shown = pictures.size(image_of[label]) if label in image_of else None
        if shown not in (None, size, size[::-1]):
            wrong.append(f"{label} is {size[1]}x{size[0]}, its image {shown[1]}x{shown[0]}")
    more = f"{len(wrong)} labels of {len(found.seen.sizes)} have another size than their image"
    return [f"{more}: {wrong[0]}; see --resize_masks"] if wrong else []
