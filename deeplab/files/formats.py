"""The JSON files that this project writes and reads again: each says in which format it is.

A newer version may write a field that this version does not know. Reading such a file as if it were understood would
give wrong results, and writing it again would lose the field. Therefore `Kind.parse` refuses it, in the same words for
every kind of file. Imports no TensorFlow, because the configuration uses it.
"""

import json
import math
from typing import Any, NamedTuple

from deeplab.errors import UserError
from deeplab.files import paths

FIRST = 1  # the format of a file that does not say its format
MAX_BYTES = 16 << 20  # of most files: as objects of Python, they can take 20 times as much memory
_MAX_INT = (1 << 63) - 1  # NumPy and TensorFlow have no larger integers
MAX_SIDE = 1 << 16  # pixels; images of other programs are not larger either
_MAX_SHOWN = 100  # letters of a wrong value in a message


class Kind(NamedTuple):
    """One kind of file: a JSON object with the field "format".

    Attributes:
      name: what the file is, for messages, such as "a configuration".
      way_out: what to do with a file that is none, for messages.
      needed: the fields that every such file has.
      others: the fields that it may have, too; None allows any field, for files of which few fields are read.
      newest: the number of the newest format that this version reads, which is the format that it writes.
      types: {field: what its value is, for `fits`} of fields whose values programs use without a look at them.
      most: how many bytes such a file may have.
    """

    name: str
    way_out: str
    needed: tuple[str, ...] = ()
    others: tuple[str, ...] | None = ()
    newest: int = FIRST
    types: dict[str, Any] = {}
    most: int = MAX_BYTES

    def text(self, content: dict[str, Any], indent: int | None = 1) -> str:
        """Returns the text of a file with the fields `content`, which `parse` reads; ValueError for other fields."""
        allowed = {*self.needed, *(content if self.others is None else self.others)}
        if not set(self.needed) <= set(content) <= allowed:
            raise ValueError(f"{self.name}: fields {sorted(content)}, expected {sorted(allowed)}")
        return json.dumps({"format": self.newest, **content}, indent=indent) + "\n"

    def read(self, path: str, where: str | None = None) -> dict[str, Any]:
        """Returns {field: value} of the file `path`, "format" among them; messages call the file `where`, else `path`.

        Raises:
          UserError: the file cannot be read, is too large, or `parse` refuses it.
        """
        try:
            text = paths.read(path, self.most)
        except OSError as error:
            raise self._refusal(where or path, error.strerror or str(error)) from None
        return self.parse(text, where or path)

    def parse(self, text: str | bytes, where: str) -> dict[str, Any]:
        """Returns {field: value} of the text of a file, "format" among them.

        Raises:
          UserError: the text is no JSON object, has a newer format, lacks a field, has a field that is not known, or
            one with a value of another type; names `where`.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._refusal(where, f"{type(error).__name__}: {error}") from None
        if not isinstance(content, dict):
            raise self._refusal(where, f"a JSON {type(content).__name__} in place of an object")
        written = content.setdefault("format", FIRST)
        if type(written) is not int or not FIRST <= written <= self.newest:
            raise UserError(
                f"{where}: {self.name} in format {written}, this version reads {self.newest}; use the version of "
                "deeplab that wrote it"
            )
        for name in self.needed:
            if name not in content:
                raise self._refusal(where, f"lacks the field {name!r}")
        if self.others is not None:
            refuse_unknown(where, "field", content, {"format", *self.needed, *self.others})
        for name, kind in self.types.items():
            if name in content and not fits(content[name], kind):
                raise self._refusal(where, f"{name}={repr(content[name])[:_MAX_SHOWN]}")
        return content

    def _refusal(self, where, reason):
        return UserError(f"{where}: not {self.name} ({reason}); {self.way_out}")


def fits(value: Any, kind: Any) -> bool:
    """Tells whether a value of a JSON file is what a program expects.

    Args:
      value: the value.
      kind: str, bool, list, dict, int (of 64 bits) or float (any finite number) for one of these; None for null;
        `[kind]` for a list and `{str: kind}` for an object with such values; `{name: kind, ...}` for an object that has
        at least these fields; a tuple of kinds for one of them; or a function (value) -> bool.
    """
    if isinstance(kind, tuple):
        return any(fits(value, one) for one in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(item, kind[0]) for item in value)
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            return False
        pairs = [(value.get(name), one) for name, one in kind.items() if name is not str]
        pairs += [(item, kind[str]) for item in value.values()] if str in kind else []
        return all(fits(item, one) for item, one in pairs)
    if kind is None:
        return value is None
    if callable(kind) and not isinstance(kind, type):
        return kind(value)
    if kind in (int, float):
        is_number = type(value) is int and abs(value) <= _MAX_INT
        return is_number or (kind is float and type(value) is float and math.isfinite(value))
    return type(value) is kind


def is_size(value: Any) -> bool:
    """Tells whether a value of a JSON file is [height, width] in pixels."""
    return isinstance(value, list) and len(value) == 2 and all(type(s) is int and 0 < s <= MAX_SIDE for s in value)


def refuse_unknown(where, what, given, known):
    """Raises a UserError if a name in a file is not known.

    Args:
      where: the path of the file.
      what: what the names stand for: "field" or "option".
      given: the names in the file.
      known: the names that this version knows.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UserError(
            f"{where}: unknown {what} {unknown[0]!r}, so a newer version wrote the file or somebody edited it; "
            f"use that version of deeplab, or take the {what} out"
        )
