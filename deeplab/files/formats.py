"""The JSON files that this project writes and reads again: each says in which format it is.

A newer version may write a field that this version does not know. Reading such a file as if it were understood would
give wrong results, and writing it again would lose the field. Therefore `Kind.parse` refuses it, in the same words for
every kind of file. Imports no TensorFlow, because the configuration uses it.
"""

import json
from typing import Any, NamedTuple

from deeplab.errors import UserError
from deeplab.files import paths

FIRST = 1  # the format of a file that does not say its format


class Kind(NamedTuple):
    """One kind of file: a JSON object with the field "format".

    Attributes:
      name: what the file is, for messages, such as "a configuration".
      way_out: what to do with a file that is none, for messages.
      needed: the fields that every such file has.
      others: the fields that it may have, too; None allows any field, for files of which few fields are read.
      newest: the number of the newest format that this version reads, which is the format that it writes.
    """

    name: str
    way_out: str
    needed: tuple[str, ...] = ()
    others: tuple[str, ...] | None = ()
    newest: int = FIRST

    def text(self, content: dict[str, Any], indent: int | None = 1) -> str:
        """Returns the text of a file with the fields `content`, which `parse` reads; ValueError for other fields."""
        allowed = {*self.needed, *(content if self.others is None else self.others)}
        if not set(self.needed) <= set(content) <= allowed:
            raise ValueError(f"{self.name}: fields {sorted(content)}, expected {sorted(allowed)}")
        return json.dumps({"format": self.newest, **content}, indent=indent) + "\n"

    def read(self, path: str, where: str | None = None) -> dict[str, Any]:
        """Returns {field: value} of the file `path`, "format" among them; messages call the file `where`, else `path`.

        Raises:
          UserError: the file cannot be read, or `parse` refuses it.
        """
        try:
            text = paths.read(path)
        except OSError as error:
            raise self._refusal(where or path, error.strerror or str(error)) from None
        return self.parse(text, where or path)

    def parse(self, text: str | bytes, where: str) -> dict[str, Any]:
        """Returns {field: value} of the text of a file, "format" among them.

        Raises:
          UserError: the text is no JSON object, has a newer format, lacks a field, or has a field that is not known;
            names `where`.
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
        return content

    def _refusal(self, where, reason):
        return UserError(f"{where}: not {self.name} ({reason}); {self.way_out}")


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
