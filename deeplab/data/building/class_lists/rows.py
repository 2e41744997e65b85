"""What every reader of class lists gives: rows with a name, and what a list of classes is made of them."""

import re
from typing import NamedTuple

from deeplab.errors import UserError

IGNORE = "__ignore__"  # labelme's name of what does not count; it is the first line of its labels.txt
BACKGROUND = "_background_"  # labelme's name of the class 0
VOID_NAMES = (IGNORE, "void", "ignore", "ignored", "unlabeled", "unlabelled", "border", "boundary")
VOID_ID = 255  # where the name says so, too; labelme's -1 becomes 255 in a mask of 8 bits
MAX_ID = 65535  # of masks with 16 bits
HEADERS = {  # words of header lines: what the column holds
    **dict.fromkeys(("name", "names", "class", "classes", "class name", "class names", "classname"), "name"),
    **dict.fromkeys(("label", "labels", "label name", "category", "category name", "readable"), "name"),
    **dict.fromkeys(
        ("id", "ids", "value", "pixel value", "pixel", "index", "class id", "label id", "class index"), "id"
    ),
    **dict.fromkeys(("pixel values", "class value", "class number", "number", "code", "idx", "category id"), "id"),
    **dict.fromkeys(("color", "colour", "hex", "rgb", "color rgb", "hex color", "colour hex", "color hex"), "color"),
    **{"r": "red", "red": "red", "g": "green", "green": "green", "b": "blue", "blue": "blue"},
}
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")
_THREE = re.compile(r"(?:rgb)?\s*[(\[]?\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*[)\]]?")


class Row(NamedTuple):
    """One entry of a list: a class, or what does not count."""

    name: str
    line: int = 0  # of the file, from 1; 0 where the list stands on the command line
    id: int | None = None  # the value of the class in label files
    color: tuple | None = None  # (R, G, B)


class ClassList(NamedTuple):
    """The classes of a data set, in order, and how they are recognised in label files.

    Attributes:
      names: one for each class.
      colors: one (R, G, B) for each class, or ().
      ids: {value in label files: class}, or {} where the values are the classes.
      void_ids: values in label files that do not count.
      void_colors: colours that do not count.
      notes: lines to tell about the list.
    """

    names: tuple
    colors: tuple = ()
    ids: dict = {}
    void_ids: tuple = ()
    void_colors: tuple = ()
    notes: tuple = ()

    @property
    def source_ids(self):
        """For each class the smallest value that it has in label files; () where the values are the classes."""
        smallest = {}
        for value, label in self.ids.items():
            smallest[label] = min(value, smallest.get(label, value))
        return tuple(smallest[label] for label in range(len(self.names))) if self.ids else ()


def header(cell):
    """Returns what the column with this header word holds, or None: "name", "id", "color", "red", "green", "blue"."""
    return HEADERS.get(re.sub(r"[\s_\-]+", " ", cell.strip().strip("#").strip().lower()))


def color(value):
    """Returns (R, G, B) of "#ff8000", "ff8000", "255,128,0", "rgb(255, 128, 0)" or three numbers; None for others."""
    if isinstance(value, str):
        text = value.strip()
        if match := _HEX.fullmatch(text):
            return tuple(bytes.fromhex(match[1]))
        match = _THREE.fullmatch(text)
        value = [int(channel) for channel in match.groups()] if match else None
    if not isinstance(value, (list, tuple)) or len(value) not in (3, 4) or (len(value) == 4 and value[3] != 255):
        return None
    channels = value[:3]
    return tuple(channels) if all(type(c) is int and 0 <= c <= 255 for c in channels) else None


def refuse(where, line, reason):
    """Raises a UserError about a line of a list; `line` is 0 if it is not known."""
    place = f"{where}, line {line}" if line else where
    raise UserError(f"--class_names={place}: {reason}")


def make(rows, where):
    """Returns the `ClassList` of the `Row`s of a list that is called `where` in messages.

    Rows with ids are sorted by these. The name __ignore__, an id of -1, and an id of 255 with a name such as void do
    not count, which a note says.

    Raises:
      UserError: there are no classes, a name is empty or occurs twice, or some rows alone have ids or colours.
    """
    for row in rows:
        if not row.name or row.name.startswith("#"):
            refuse(where, row.line, f"{row.name!r} is no name of a class")
        if row.id is not None and not -1 <= row.id <= MAX_ID:
            refuse(where, row.line, f"id {row.id} of {row.name!r}: expected 0 to {MAX_ID}")
    _require_all(rows, "id", where)
    void = [row for row in rows if _is_void(row)]
    rows = [row for row in rows if row not in void]
    if not rows:
        refuse(where, 0, "names no classes")
    _require_all(rows, "color", where)
    notes = [f"{where}: {row.name!r}{_text(row.id)} does not count" for row in void]
    rows, joined, more = _joined(rows, where)
    _refuse_twice(rows, where)
    ids = {row.id: label for label, row in enumerate(rows) if row.id is not None}
    ids |= {row.id: [one.name for one in rows].index(row.name) for row in joined}
    notes += more
    return ClassList(
        tuple(row.name for row in rows),
        tuple(row.color for row in rows if row.color is not None),
        {} if list(ids) == list(range(len(rows))) else ids,
        tuple(row.id for row in void if row.id is not None and row.id >= 0),
        tuple(row.color for row in void if row.color is not None),
        tuple(notes),
    )


def _joined(rows, where):
    """Returns the rows in the order of their ids, those that repeat the name of another id, and notes about these."""
    if rows[0].id is None:
        return rows, [], []
    first, again = {}, []
    for row in sorted(rows, key=lambda row: row.id):
        if first.setdefault(row.name, row) is not row:
            again.append(row)
    if any(row.id == first[row.name].id or row.color != first[row.name].color for row in again):
        return sorted(rows, key=lambda row: row.id), [], []  # which is refused
    notes = [
        f"{where}: ids {first[row.name].id} and {row.id} are both {row.name!r} and become one class" for row in again
    ]
    return list(first.values()), again, notes


def _is_void(row):
    return row.name == IGNORE or row.id == -1 or (row.id == VOID_ID and row.name.lower() in VOID_NAMES)


def _text(number):
    return "" if number is None else f" (id {number})"


def _require_all(rows, field, where):
    lacking = next((row for row in rows if getattr(row, field) is None), None)
    given = sum(getattr(row, field) is not None for row in rows)
    what = "an id" if field == "id" else "a colour"
    if lacking and given:
        refuse(where, lacking.line, f"{lacking.name!r} has no {field}: {given} of {len(rows)} classes have {what}, "
               "give all or none")  # fmt: skip


def _refuse_twice(rows, where):
    for field, what in (("name", "the name"), ("id", "the id"), ("color", "the colour")):
        seen = {}
        for row in rows:
            value = getattr(row, field)
            first = seen.setdefault(value, row)
            if value is not None and first is not row:
                also = f" as line {first.line}" if first.line else f" as {first.name!r}"
                refuse(where, row.line, f"{row.name!r} has {what} {value!r}{also}: each class needs one of its own")


def lookup(ids, ignore_label, ignore_values=()):
    """Returns the `lookup` of `LabelRules` for {value in the files: class}; other values are not allowed.

    The ignore label and `ignore_values` become the ignore label, unless they are values of classes.
    """
    values = [-1] * max(256, max(ids) + 1)
    for value in (ignore_label, *(value for value in ignore_values if value < len(values))):
        values[value] = ignore_label
    for value, label in ids.items():
        values[value] = label
    return tuple(values)
