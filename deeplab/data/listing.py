"""Finds the files of a data set: pairs by name, lists of names, a random split, classes from a file. No TensorFlow."""

import csv
import json
import os
import random
import re

from deeplab.data.prepare import Pair
from deeplab.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png")


def files_by_name(folder, flag, suffix=""):
    """Returns {path below `folder` without extension: path} of all images in it, sorted.

    Args:
      folder: searched with all folders below.
      flag: the flag it came from, for messages.
      suffix: what the names of these files end in, before the extension; removed from the keys, e.g. "_mask".
    """
    if not os.path.isdir(folder):
        raise UserError(f"--{flag}={folder}: no such folder")
    found = {}
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            if extension.lower() in SUFFIXES and stem.endswith(suffix):
                key = os.path.relpath(os.path.join(directory, stem[: len(stem) - len(suffix)]), folder)
                found[key.replace(os.sep, "/")] = os.path.join(directory, name)
    if not found:
        raise UserError(f"--{flag}={folder}: holds no {', '.join(SUFFIXES)} files whose names end in {suffix!r}")
    return found


def read_list(path):
    """Returns the names in a list file: one a line, without spaces at the ends, CRLF or extension."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"list {path}: cannot be read: {error}") from None
    names = [without_extension(line) for line in lines if line]
    if not names:
        raise UserError(f"list {path}: names no images")
    return names


def without_extension(name):
    """Returns the name without .jpg, .jpeg or .png."""
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in SUFFIXES else name


def pairs_of(names, images, labels):
    """Returns a `Pair` for each name of a list; partners that do not exist are None, for the builder to report.

    Args:
      names: as in the list: the path below the folder, or only the last part of it, without extension.
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
    pairs = pairs_of(sorted(images), images, labels)
    used = {pair.label for pair in pairs}
    return pairs + [Pair(key, None, path) for key, path in sorted(labels.items()) if path not in used]


def random_split(pairs, fraction, seed):
    """Returns {"train": [...], "val": [...]}: a random `fraction` (0 to 1) of the pairs, at least one, in val."""
    shuffled = sorted(pairs)
    random.Random(seed).shuffle(shuffled)
    count = max(1, round(len(shuffled) * fraction))
    if count >= len(shuffled):
        raise UserError(f"--val_fraction={fraction}: nothing of {len(shuffled)} pairs is left to train on")
    return {"train": sorted(shuffled[count:]), "val": sorted(shuffled[:count])}


def read_classes(text):
    """Returns (names, colours) of the classes; colours () where there are none.

    Args:
      text: a JSON file (a list of names, of {"name", "color"} objects, {name: [r, g, b]}, or a dataset.json), a CSV
        file (name or name,r,g,b in each row), or the names themselves, separated by commas.
    """
    if not re.search(r"\.(json|csv|txt)$", text, re.IGNORECASE):
        return tuple(name.strip() for name in text.split(",")), ()
    try:
        with open(text, encoding="utf-8-sig", newline="") as file:
            rows = _json_rows(json.load(file)) if text.lower().endswith(".json") else _csv_rows(file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, csv.Error) as error:
        raise UserError(f"--class_names={text}: cannot be read as names and colours of classes: {error!r}") from None
    if not rows:
        raise UserError(f"--class_names={text}: names no classes")
    names = tuple(str(name) for name, _ in rows)
    colors = tuple(color for _, color in rows if color is not None)
    if colors and len(colors) != len(names):
        raise UserError(f"--class_names={text}: {len(colors)} of {len(names)} classes have a colour: give all or none")
    return names, colors


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
