"""Reads a list of classes, whatever form it has: the file's ending and its content decide."""

import os
import re

from deeplab.data.building.class_lists import json_lists, rows, tables, texts, yaml_lists
from deeplab.data.building.class_lists.rows import ClassList, Row
from deeplab.errors import UserError
from deeplab.files import paths

READERS = {
    ".json": json_lists.read,
    ".csv": tables.read,
    ".tsv": tables.read,
    ".txt": texts.read,
    ".names": texts.read,
    ".yaml": yaml_lists.read,
    ".yml": yaml_lists.read,
}
# What a class list is called in folders, the first one that exists is taken. "*" stands for any letters.
FILES = (
    *("classes.json", "classes.csv", "classes.tsv", "classes.txt", "labelmap.txt", "labels.txt", "labels.json"),
    *("label_map.json", "class_dict.csv", "_classes.csv", "*_classes.csv", "*/_classes.csv", "classes.yaml"),
    *("data.yaml", "data.yml", "dataset.yaml", "obj.names", "label_colors.txt"),
)
_MAX_BYTES = 4 << 20  # of a list of classes
_BOMS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))


def read(text):
    """Returns the `rows.ClassList` of what `--class_names` says.

    Args:
      text: the path of a file of one of the kinds in `READERS`, or the names themselves, separated by commas, with or
        without colours or ids: "road=#804080,sky=#4682b4", "road=1,sky=7".

    Raises:
      UserError: the file cannot be read, is not understood (with its line), or has classes that cannot be told apart.
    """
    ending = os.path.splitext(text)[1].lower()
    if ending not in READERS:
        return rows.make([_with_color_or_id(part.strip()) for part in text.split(",")], text)
    try:
        content = decoded(paths.read(text, _MAX_BYTES))
    except (OSError, UnicodeError) as error:
        raise UserError(f"--class_names={text}: cannot be read ({error}); save it as UTF-8") from None
    return rows.make(READERS[ending](content, text), text)


def decoded(content):
    """Returns the text of bytes in UTF-8 or UTF-16, without a byte order mark; raises UnicodeError for others."""
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "utf-8")
    return content.decode(encoding)


def _with_color_or_id(text):
    """Returns the `Row` of "road", "road=#804080" or "road=3"."""
    name, sign, value = text.rpartition("=")
    if sign and re.fullmatch(r"\d{1,5}", value):
        return Row(name.strip(), id=int(value))
    if sign and value.startswith("#"):
        shade = rows.color(value)
        if not shade:
            rows.refuse(text, 0, f"colour {value!r}: expected #rrggbb")
        return Row(name.strip(), color=shade)
    return Row(text)


def found_in(folder):
    """Returns the paths of the class lists that lie in a folder, the one that is taken first."""
    if paths.is_remote(folder):
        return [path for name in FILES if "*" not in name and paths.exists(path := os.path.join(folder, name))]
    found = []
    for pattern in FILES:
        place, name = os.path.split(pattern)
        inner = sorted(e.path for e in os.scandir(folder) if e.is_dir()) if place else [folder]
        match = re.compile(re.escape(name).replace(r"\*", ".*")).fullmatch
        for one in inner:
            found += sorted(entry.path for entry in os.scandir(one) if entry.is_file() and match(entry.name))
    return list(dict.fromkeys(found))


def one_class_with_background(classes):
    """Returns a `ClassList` in which "background" comes before the only class of a list."""
    return ClassList(("background", *classes.names), notes=classes.notes)
