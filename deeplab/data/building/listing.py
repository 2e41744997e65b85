"""Finds the files of a data set: pairs of equal names, lists of names, a random split, classes from a file.

This module imports nothing heavy, so that the scripts can import it before they know what to do.
"""

import collections
import csv
import io
import json
import os
import random
import re
import unicodedata
from typing import NamedTuple

from deeplab.errors import UserError
from deeplab.files import escaping, paths

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_ENDING = re.compile(r"[_\-. ]?[A-Za-z]+$")  # what a file name may add to the name of the pair: "_mask", "-rgb"


class Pair(NamedTuple):
    """An image file and its label file, None where one of them is missing, and the name of both, without extension.

    In place of a path may stand an object that a worker process gets: an image with `read`, a label with `draw`, as in
    `deeplab.data.annotations`; as text it says where it comes from.
    """

    name: str
    image: str | None
    label: str | None


def files_by_name(folder, flag, suffix="", extensions=SUFFIXES):
    """Returns {path below `folder` without extension: path} of all images in it, sorted, without hidden files.

    Args:
      folder: searched with all folders below.
      flag: the flag that names the folder, for messages.
      suffix: what the names of these files end with before the extension, e.g. "_mask"; it is removed from the keys.
      extensions: which files are images.

    Raises:
      UserError: there is no such folder, no such file in it, or there are two files of one name.
    """
    if not paths.is_folder(folder):
        raise UserError(f"--{flag}={folder}: no such folder")
    found = _files(folder, flag, suffix, extensions=extensions)
    if not found:
        ending = f" whose names end in {suffix!r}" if suffix else ""
        others = other_files(folder, extensions)
        others = f"; it has {others}" if others else ""
        raise UserError(f"--{flag}={folder}: holds no {', '.join(extensions)} files{ending}{others}")
    return found


def holds_images(folder):
    """Tells whether there is an image in a folder or below it."""
    return any(name.lower().endswith(SUFFIXES) for _, _, names in paths.walk(folder) for name in names)


def other_files(folder, extensions=SUFFIXES):
    """Returns text that counts the other files below a folder, but for hidden ones: "2 .heic, 1 .txt"."""
    names = [name for _, _, names in paths.walk(folder) for name in names if not name.startswith(".")]
    found = collections.Counter(os.path.splitext(name)[1].lower() for name in names)
    counts = sorted((-count, kind) for kind, count in found.items() if kind not in extensions)
    kinds = [f"{-count} {kind or 'without extension'}" for count, kind in counts]
    return escaping.terminal(", ".join(kinds[:5]))


def _files(folder, flag, suffix, without=(), extensions=SUFFIXES):
    """Returns what `files_by_name` returns, but without the paths in `without`; {} if there are no such files."""
    found = {}
    for directory, folders, names in _walk(folder, flag):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            path = os.path.join(directory, name)
            if name.startswith(".") or extension.lower() not in extensions or not stem.endswith(suffix):
                continue
            if path in without:
                continue
            key = os.path.relpath(os.path.join(directory, stem[: len(stem) - len(suffix)]), folder)
            key = normalized(key.replace(os.sep, "/"))
            if key in found:
                raise UserError(f"--{flag}={folder}: {found[key]} and {path} have one name: remove one of them")
            found[key] = path
    return found


def _walk(folder, flag):
    """Yields what `paths.walk` yields; a folder that cannot be searched is a UserError, as its files would miss."""
    try:
        yield from paths.walk(folder)
    except OSError as error:
        raise UserError(
            f"--{flag}={folder}: {error.filename} cannot be searched ({error.strerror}); allow it or move it away"
        ) from None


def images_and_labels(image_dir, label_dir, image_suffix="", label_suffix=""):
    """Returns ({name: image path}, {name: label path}) of two folders, or of one that holds both.

    In a folder that holds both, labels are the files that end with `label_suffix`, or the PNGs if there is no suffix.
    The other files are images.

    Raises:
      UserError: as `files_by_name`; or no image has a label of its name, in which case suffix flags are suggested.
    """
    one = os.path.realpath(image_dir) == os.path.realpath(label_dir)
    labels = files_by_name(label_dir, "label_dir", label_suffix, (".png",) if one and not label_suffix else SUFFIXES)
    if one:
        images = _files(image_dir, "image_dir", image_suffix, set(labels.values()))
    else:
        images = files_by_name(image_dir, "image_dir", image_suffix)
    if not any(pair.image and pair.label for pair in all_pairs(images, labels)):
        if one:
            images = labels = {**images, **labels}
        raise UserError(
            f"--label_dir={label_dir}: no label has the name of an image. Images are named {_some(images)}, labels "
            f"{_some(labels)}. {_suffix_hint(images, labels)}"
        )
    return images, labels


def _some(names):
    return ", ".join(repr(name) for name in sorted(names)[-2:])


def _suffix_hint(images, labels):
    """Returns advice: the suffix flags that would give the most pairs."""
    endings = collections.Counter()
    bases = {}
    for name in images:
        for base, ending in {(name, ""), _split(name)}:
            bases.setdefault(base, []).append(ending)
    for name in labels:
        for base, ending in {(name, ""), _split(name)}:
            endings.update((other, ending) for other in bases.get(base, ()) if other != ending)
    first, second = max(endings, key=lambda pair: (endings[pair], not pair[0]), default=("", ""))
    if 3 * endings[first, second] < min(len(images), len(labels)):
        return "Give both the same names, or say what they end in: --image_suffix, --label_suffix"
    given = [f"--{kind}_suffix={ending}" for kind, ending in (("image", first), ("label", second)) if ending]
    return f"Try {' '.join(given)}"


def _split(name):
    """Returns (base, ending): "a/1_mask" -> ("a/1", "_mask")."""
    ending = _ENDING.search(name)
    at = ending.start() if ending else len(name)
    return name[:at], name[at:]


def read_list(path):
    """Returns the names in a list file, one per line, without surrounding spaces and extension."""
    try:
        lines = [line.strip() for line in io.StringIO(paths.read_text(path), newline=None)]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"list {path}: cannot be read: {error}") from None
    names = [without_extension(normalized(line)) for line in lines if line]
    if not names:
        raise UserError(f"list {path}: names no images")
    return names


def normalized(name):
    """Returns a name in Unicode form NFC: macOS writes a letter and its accent as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def without_extension(name):
    """Returns the name without the extension of an image file, if it has one."""
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in SUFFIXES else name


def listed_pairs(names, images, labels):
    """Returns a `Pair` for each name of a list. Files that do not exist are None; the builder reports them.

    Args:
      names: for each pair the path below the folder, or only the last part of it, without extension.
      images, labels: from `files_by_name`.
    """
    finders = [_finder(images), _finder(labels)]
    return [Pair(name, *(find(name) for find in finders)) for name in names]


def _finder(files):
    by_last_part = {}
    for key, path in files.items():
        by_last_part.setdefault(key.rsplit("/", 1)[-1], []).append(path)

    def find(name):
        if name in files:
            return files[name]
        same = by_last_part.get(name.rsplit("/", 1)[-1], [])
        return same[0] if len(same) == 1 else None

    return find


def all_pairs(images, labels):
    """Returns a `Pair` for every name that occurs among the images or the labels, sorted by name."""
    pairs = listed_pairs(sorted(images), images, labels)
    used = {pair.label for pair in pairs}
    return pairs + [Pair(key, None, path) for key, path in sorted(labels.items()) if path not in used]


def random_split(pairs, fraction, seed):
    """Returns {"train": [...], "val": [...]}, where val is a random `fraction` (0 to 1) of the pairs, at least one."""
    shuffled = sorted(pairs)
    random.Random(seed).shuffle(shuffled)
    count = max(1, round(len(shuffled) * fraction))
    if count >= len(shuffled):
        raise UserError(f"--val_fraction={fraction}: nothing of {len(shuffled)} pairs is left to train on")
    return {"train": sorted(shuffled[count:]), "val": sorted(shuffled[:count])}


def read_classes(text):
    """Returns (names, colours) of the classes; colours are () if none are given.

    Args:
      text: the path of a JSON file (a list of names or of {"name", "color"} objects, {name: [r, g, b]}, or a
        dataset.json), the path of a CSV file (name or name,r,g,b in each row), or the names themselves, separated by
        commas, with or without colours: "road=#804080,sky=#4682b4".
    """
    try:
        rows = _class_rows(text)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, csv.Error) as error:
        raise UserError(f"--class_names={text}: cannot be read as names and colours of classes: {error!r}") from None
    if not rows:
        raise UserError(f"--class_names={text}: names no classes")
    names = tuple(str(name) for name, _ in rows)
    colors = tuple(color for _, color in rows if color is not None)
    if colors and len(colors) != len(names):
        raise UserError(f"--class_names={text}: {len(colors)} of {len(names)} classes have a colour: give all or none")
    return names, colors


def _class_rows(text):
    """Returns [(name, colour or None)]; see `read_classes`."""
    if not re.search(r"\.(json|csv|txt)$", text, re.IGNORECASE):
        return [_with_color(name.strip()) for name in text.split(",")]
    content = paths.read_text(text)
    if text.lower().endswith(".json"):
        return _json_rows(json.loads(content))
    return _csv_rows(io.StringIO(content, newline=""))


def _with_color(text):
    """Returns (name, colour or None) of "road" or "road=#804080"."""
    name, sign, color = text.rpartition("=#")
    return (name, _color(bytes.fromhex(color))) if sign else (text, None)


def _json_rows(values):
    if isinstance(values, dict) and "class_names" in values:
        colors = values.get("colors") or [None] * len(values["class_names"])
        return [(name, _color(color)) for name, color in zip(values["class_names"], colors, strict=True)]
    if isinstance(values, dict):
        return [(name, _color(color)) for name, color in values.items()]
    return [(v, None) if isinstance(v, str) else (v["name"], _color(v.get("color"))) for v in values]


def _csv_rows(file):
    rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if rows and len(rows[0]) >= 4 and not rows[0][1].isdigit():
        rows = rows[1:]  # a header
    return [(row[0], _color(row[1:4]) if len(row) >= 4 else None) for row in rows]


def _color(value):
    if value is None:
        return None
    color = tuple(int(channel) for channel in value)
    if len(color) != 3 or not all(0 <= channel <= 255 for channel in color):
        raise ValueError(f"colour {value}: expected three numbers 0 to 255")
    return color
