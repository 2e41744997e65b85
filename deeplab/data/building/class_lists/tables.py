"""Class lists as tables: CSV and TSV with any delimiter, with and without a header, and text files in columns."""

import csv
import re

from deeplab.data.building.class_lists import rows
from deeplab.data.building.class_lists.rows import Row

_DELIMITERS = ",;\t|"
_CHANNELS = ("red", "green", "blue")
_COLOR_FIRST = re.compile(r"#[0-9a-fA-F]{6}\b")


def lines_of(text):
    """Returns [(number from 1, line)] of the lines of a text that are neither empty nor comments."""
    numbered = enumerate(text.splitlines(), 1)
    return [(number, line) for number, line in numbered if line.strip() and not is_comment(line)]


def is_comment(line):
    """Tells whether a line is a comment: it begins with # or //, and not with a colour such as #ff8000."""
    line = line.strip()
    return line.startswith("//") or (line.startswith("#") and not _COLOR_FIRST.match(line))


def read(text, where):
    """Returns the `Row`s of a table; raises a UserError with the line of what is not understood."""
    lines = lines_of(text)
    if not lines:
        rows.refuse(where, 0, "names no classes")
    delimiter = max(_DELIMITERS, key=lambda mark: (sum(mark in line for _, line in lines), lines[0][1].count(mark)))
    return of_cells([(number, _split(line, delimiter, where, number)) for number, line in lines], where)


def _split(line, delimiter, where, number):
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        rows.refuse(where, number, f"cannot be split into columns ({error})")
    cells = [cell.strip() for cell in cells]
    return cells[:-1] if len(cells) > 1 and not cells[-1] else cells


def of_cells(lines, where):
    """Returns the `Row`s of [(line number, cells)], the first of which may be a header."""
    first = lines[0][1]
    columns = [rows.header(cell) for cell in first]
    if _is_header(columns, first):
        lines = lines[1:]
        if not lines:
            rows.refuse(where, 0, "names no classes, it has a header alone")
        width = len(first)
    else:
        width = len(first)
        if _looks_like_header(lines):
            lines = lines[1:]
        columns = None
    for number, cells in lines:
        if len(cells) != width:
            rows.refuse(where, number, f"{len(cells)} columns where the first line has {width}")
    columns = columns or _guessed([cells for _, cells in lines], where, lines[0][0])
    return [_row(number, dict(zip(columns, cells, strict=True)), where) for number, cells in lines]


def _is_header(columns, cells):
    """Tells whether a line is a header: a column of names, and no number or colour."""
    return columns.count("name") >= 1 and not any(cell.isdecimal() or rows.color(cell) for cell in cells)


def _looks_like_header(lines):
    """Tells whether the first line alone has words where all others have numbers."""
    columns = list(zip(*(cells for _, cells in lines[1:]), strict=False))
    pairs = zip(lines[0][1], columns, strict=False)
    return any(not first.isdecimal() and not rows.color(first) and all(c.isdecimal() for c in column)
               for first, column in pairs)  # fmt: skip


def _guessed(lines, where, number):
    """Returns what each column holds, judged by its cells: one column of names, an id, a colour or three numbers."""
    kinds = [_kind(column) for column in zip(*lines, strict=True)]
    numbers = [at for at, kind in enumerate(kinds) if kind == "number"]
    if kinds.count("name") != 1 or len(numbers) not in (0, 1, 3, 4) or kinds.count("color") > 1:
        rows.refuse(
            where, number, f"columns {lines[0]}: expected names, and with them ids, or colours, or both; a header such "
            "as name,r,g,b tells which is which"
        )  # fmt: skip
    if len(numbers) in (1, 4):
        kinds[numbers.pop(0)] = "id"
    for at, channel in zip(numbers, _CHANNELS, strict=False):
        kinds[at] = channel
    return kinds


def _kind(column):
    if all(cell.removeprefix("-").isdecimal() for cell in column):
        return "number"
    return "color" if all(rows.color(cell) for cell in column) else "name"


def _row(number, cells, where):
    """Returns the `Row` of {what the column holds: cell}."""
    name, shade = cells.get("name", ""), None
    if not name:
        rows.refuse(where, number, "the name is empty")
    given = cells.get("color") or ",".join(cells[channel] for channel in _CHANNELS if cells.get(channel))
    if given:
        shade = rows.color(given) or rows.refuse(
            where, number, f"colour {given!r} of {name!r}: expected three numbers 0 to 255, or #rrggbb"
        )
    value = cells.get("id")
    if value is not None and not value.removeprefix("-").isdecimal():
        rows.refuse(where, number, f"id {value!r} of {name!r}: expected a whole number")
    return Row(name, number, None if value is None else int(value), shade)
