"""Reads list files: one name a line, or image and label in two columns, between commas, tabs or spaces.

This module imports nothing heavy, so that the scripts can import it before they know what to do.
"""

import re

from deeplab.data.building import listing
from deeplab.data.building.listing import Pair

_HEADER = re.compile(
    r"(images?|labels?|masks?|file ?names?|files?|paths?|annotations?|names?|ids?)([_ ](path|name|file))?"
)


def pairs(path, images, labels):
    """Returns a `Pair` for each line of a list file. Files that do not exist are None; the builder reports them.

    A line is the name of a pair, its path below the folder or the last part of that, with or without extension. Or it
    is the name of an image and that of its label. A line that begins with # and names nothing is a comment.

    Args:
      path: the list file.
      images, labels: {name: path} of `listing.files_by_name`.

    Raises:
      UserError: the file cannot be read or names nothing.
    """
    found = []
    finders = listing.finder(images), listing.finder(labels)
    for number, line in enumerate(listing.read_lines(path)):
        pair = _whole(line, images, labels) or _pair(line, *finders)
        if pair.image or pair.label or not (line.startswith("#") or (number == 0 and _is_header(line))):
            found.append(pair)
    return found


def _whole(line, images, labels):
    """Returns the `Pair` of a line that is a name, None if it is none."""
    name = _name(line)
    return Pair(name, images.get(name), labels.get(name)) if name in images or name in labels else None


def _pair(line, find_image, find_label):
    """Returns the `Pair` of a line: of two columns, or of the last part of a path."""
    name = _name(line)
    best = Pair(name, None, None)
    for mark in re.finditer(r"\s*[,;\t]\s*|\s+", line):
        first_text = line[: mark.start()].strip("\"'")
        first, second = _name(first_text), _name(line[mark.end() :])
        pair = Pair(first, find_image(first), find_label(second))
        if pair.image and pair.label:
            return pair
        two_columns = pair.image or listing.without_extension(first_text) != first_text
        if two_columns and not best.image:
            best = pair
    return best if best.name != name else Pair(name, find_image(name), find_label(name))


def _name(text):
    """Returns a name as `listing.files_by_name` has it: "./images\\\\a.png" -> "images/a"."""
    text = text.strip().strip("\"'").replace("\\", "/").removeprefix("./")
    return listing.without_extension(text.lstrip("/"))


def _is_header(line):
    words = re.split(r"[,;\t]", line.lower())
    return len(words) > 1 and all(_HEADER.fullmatch(word.strip().strip("\"'")) for word in words)
