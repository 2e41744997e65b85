"""Class lists in JSON: lists of names or objects, and objects of names, ids and colours in any direction."""

import json

from deeplab.data.building.class_lists import rows
from deeplab.data.building.class_lists.rows import Row

_LISTS = ("class_names", "names", "classes", "labels", "categories")  # fields that hold the list of classes
_NAMES = ("name", "class", "label", "class_name", "title")
_IDS = ("id", "value", "pixel_value", "label_id", "class_id", "index")
_COLORS = ("color", "colour", "rgb", "hex", "color_rgb", "color_hex_code")


def read(text, where):
    """Returns the `Row`s of the text of a JSON file; raises a UserError with the line of what is not understood."""
    reader = _Reader(text, where)
    try:
        values = json.loads(text, object_pairs_hook=reader.without_twins)
    except json.JSONDecodeError as error:
        rows.refuse(where, error.lineno, f"no JSON: {error.msg}")
    except RecursionError:
        rows.refuse(where, 0, "nested too deeply for a list of classes")
    return reader.rows(values)


class _Reader:
    """Knows the text, so that refusals can name a line."""

    def __init__(self, text, where):
        self.text, self.where = text, where

    def refuse(self, value, reason):
        """Raises a UserError about a name, key or value of the file, whose line is looked for."""
        rows.refuse(self.where, self.line(value), reason)

    def line(self, value):
        """Returns the line of the first occurrence of a string or number, 0 if it is not found."""
        try:
            shown = {json.dumps(value), json.dumps(value, ensure_ascii=False)}
        except (TypeError, ValueError):
            return 0
        found = [at for at in map(self.text.find, shown) if at >= 0]
        return self.text.count("\n", 0, min(found)) + 1 if found else 0

    def without_twins(self, pairs):
        """Returns the dict of the pairs of a JSON object, in which no key may occur twice."""
        found = {}
        for key, value in pairs:
            if key in found:
                self.refuse(key, f"{key!r} occurs twice: give each class a name of its own")
            found[key] = value
        return found

    def rows(self, values):
        """Returns the `Row`s of a whole file."""
        if isinstance(values, list):
            return [self.item(value) for value in values]
        if not isinstance(values, dict):
            rows.refuse(self.where, 0, f"a JSON {type(values).__name__} is no list of classes")
        lists = [name for name in _LISTS if isinstance(values.get(name), (list, dict))]
        if not lists:
            return [self.pair(key, value) for key, value in values.items()]
        found = self.rows(values[lists[0]])
        colors = values.get("colors") or []
        if isinstance(colors, list) and len(colors) == len(found):
            found = [row._replace(color=self.color(value)) for row, value in zip(found, colors, strict=True)]
        elif colors:
            self.refuse("colors", f"{len(colors)} colours of {len(found)} classes")
        return found

    def item(self, value):
        """Returns the `Row` of an entry of a list."""
        if isinstance(value, str):
            return Row(value.strip(), self.line(value))
        if isinstance(value, dict):
            return self.of_object(value)
        self.refuse(value, f"{value!r} is no class: expected a name, or an object with a name")

    def of_object(self, value, name=None, number=None):
        """Returns the `Row` of {"name": "road", "id": 3, "color": [128, 64, 128]}."""
        name = next((value[key] for key in _NAMES if key in value), name)
        number = next((value[key] for key in _IDS if key in value), number)
        shade = next((value[key] for key in _COLORS if value.get(key) is not None), None)
        if not isinstance(name, str):
            self.refuse(next(iter(value), ""), f"{str(value)[:80]} has no name of a class ({', '.join(_NAMES)})")
        return Row(name.strip(), self.line(name), self.id(number, name), None if shade is None else self.color(shade))

    def pair(self, key, value):
        """Returns the `Row` of a field: "road": 3, "3": "road", "road": [1, 2, 3], "#010203": "road" and so on."""
        number = _number(key)
        if isinstance(value, dict):
            return self.of_object(value, None if number is not None else key.strip(), number)
        if number is not None and isinstance(value, str):
            return Row(value.strip(), self.line(key), number)
        if isinstance(value, str) and not rows.color(value) and rows.color(key):
            return Row(value.strip(), self.line(key), color=rows.color(key))
        if number is None and _number(value) is not None:
            return Row(key.strip(), self.line(key), _number(value))
        if number is None and rows.color(value):
            return Row(key.strip(), self.line(key), color=rows.color(value))
        self.refuse(key, f"{key!r}: {str(value)[:80]!r} is neither an id nor a colour of a class")

    def color(self, value):
        """Returns the (R, G, B) of a value, or refuses it."""
        return rows.color(value) or self.refuse(value, f"colour {value!r}: expected three numbers 0 to 255, or #rrggbb")

    def id(self, value, name):
        """Returns the number that a value is, None for none, or refuses it."""
        if value is None or _number(value) is not None:
            return _number(value)
        self.refuse(name, f"id {value!r} of {name!r}: expected a whole number")


def _number(value):
    """Returns the whole number that a JSON value or a key is, None if it is another thing."""
    if isinstance(value, str):
        value = value.strip()
        return int(value) if value.removeprefix("-").isdecimal() and len(value) < 9 else None
    return value if type(value) is int else None
