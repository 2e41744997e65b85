"""Class lists as texts: one name a line, CVAT's labelmap.txt, columns between spaces, and what is none of these."""

import re

from deeplab.data.building.class_lists import rows, tables
from deeplab.data.building.class_lists.rows import Row

_LABELMAP = re.compile(r"(.+):(\d+,\d+,\d+)?:([^:]*):([^:]*)")  # CVAT: label:color_rgb:parts:actions
_COLUMNS = (  # in every line of a file: then they are columns
    (re.compile(r"(?P<color>\d+\s+\d+\s+\d+)\s+(?P<name>\S.*)"), "a colour and a name"),
    (re.compile(r"(?P<name>.*\S)\s+(?P<color>\d+\s+\d+\s+\d+)"), "a name and a colour"),
    (re.compile(r"(?P<color>#[0-9a-fA-F]{6})\s+(?P<name>\S.*)"), "a colour and a name"),
    (re.compile(r"(?P<name>.*\S)\s+(?P<color>#[0-9a-fA-F]{6})"), "a name and a colour"),
    (re.compile(r"(?P<id>\d+)\s*[:=\s]\s*(?P<name>\S.*)"), "an id and a name"),
    (re.compile(r"(?P<name>.*[^\s:=])\s*[:=\s]\s*(?P<id>\d+)"), "a name and an id"),
)
_NO_NAME = re.compile(  # a command, a line of another format, or the name of a file
    r"[{}\[\]<>=\t$`\\]|:\s|:$|^(import|export|set|cd|python|pip|deeplab|echo)\s|^-|;\s*$|://"
    r"|\.(png|jpe?g|tiff?|bmp|gif|webp|json|xml|txt|csv|npy)$",
    re.IGNORECASE,
)


def read(text, where):
    """Returns the `Row`s of a text file; raises a UserError with the line of what is not understood."""
    lines = tables.lines_of(text)
    if not lines:
        rows.refuse(where, 0, "names no classes")
    if all(_LABELMAP.fullmatch(line.strip()) for _, line in lines):
        return [_of_labelmap(number, line.strip(), where) for number, line in lines]
    for pattern, _what in _COLUMNS:
        matches = [(number, pattern.fullmatch(line.strip())) for number, line in lines]
        if all(match for _, match in matches):
            return [_of_match(number, match.groupdict(), where) for number, match in matches]
    if _is_table(lines):
        return tables.read(text, where)
    return _names(lines, where)


def _of_labelmap(number, line, where):
    name, shade = _LABELMAP.fullmatch(line).group(1, 2)
    return _of_match(number, {"name": name, "color": shade}, where)


def _of_match(number, found, where):
    shade = found.get("color") and (
        rows.color(found["color"])
        or rows.refuse(where, number, f"colour {found['color']!r}: expected three numbers 0 to 255")
    )
    return Row(found["name"].strip(), number, int(found["id"]) if "id" in found else None, shade or None)


def _is_table(lines):
    """Tells whether all lines have as many of one delimiter, and numbers in one column at least.

    A comma alone makes no table, because names may have commas: "building, edifice".
    """
    for mark in ",;\t|":
        cells = [line.split(mark) for _, line in lines]
        if len(cells[0]) > 1 and len({len(row) for row in cells}) == 1:
            columns = list(zip(*cells[1:], strict=True))
            if any(all(cell.strip().isdecimal() for cell in column) and column for column in columns):
                return True
    return False


def _names(lines, where):
    """Returns the `Row`s of one name a line; a first line such as "classes" is a header."""
    found = []
    if rows.header(lines[0][1]) and len(lines) > 1:
        lines = lines[1:]
    for number, line in lines:
        name = line.strip()
        if _NO_NAME.search(name):
            rows.refuse(where, number, f"{name[:80]!r} is not understood: expected one name of a class a line")
        found.append(Row(name, number))
    if all(row.name.isdecimal() for row in found):
        rows.refuse(where, found[0].line, f"{found[0].name!r} is a number and no name of a class")
    ignored = [row for row in found if row.name == rows.IGNORE]
    if ignored and ignored[0] is not found[0]:
        rows.refuse(where, ignored[0].line, f"{rows.IGNORE} stands first in a labels.txt of labelme, as the id -1")
    return found
