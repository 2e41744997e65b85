"""Gives the names of a source class ids: background first, one id for equal names, no id for what does not count."""

from typing import NamedTuple

from deeplab.data.annotations.shapes import VOID
from deeplab.errors import UserError
from deeplab.files import nearest

BACKGROUND = ("background", "_background_", "__background__")
IGNORED = ("__ignore__", "_ignore_", "ignore", "void")
_MOST = 255  # classes; labels have 8 bits, and one value is for pixels that do not count


class ClassTable(NamedTuple):
    """The classes of a source.

    Attributes:
      names: class names in the order of their ids.
      ids: {name in the source: class id, or `VOID`}.
      notes: lines about what was decided.
    """

    names: tuple[str, ...]
    ids: dict
    notes: tuple[str, ...] = ()

    def in_order(self, values, default=None):
        """Returns the value of each class from {name in the source: value}, as a tuple."""
        of_class = {}
        for name, value in values.items():
            of_class.setdefault(self.ids.get(name), value)
        return tuple(of_class.get(label, default) for label in range(len(self.names)))


def make(names, wanted=(), where="the annotations"):
    """Returns the `ClassTable` of the names in a source.

    Args:
      names: distinct names in their order in the source.
      wanted: names in the order in which they are to be classes, background first; (): the order of the source. Other
        names of the source then count as background.
      where: the file that the names come from, for messages.

    Raises:
      UserError: `wanted` has a name that the source has not, or there are more classes than a label can tell apart.
    """
    void = [name for name in names if name.casefold() in IGNORED]
    known = [name for name in names if name not in void]
    background = next((name for name in known if name.casefold() in BACKGROUND), "background")
    notes = [f"{name!r} does not count: its pixels get the ignore label" for name in void]
    if wanted:
        ids, told = _chosen(known, wanted, background, where)
        table = wanted
        notes += told
    else:
        table = (background, *(name for name in known if name != background))
        ids = {name: label for label, name in enumerate(table)}
    if len(table) > _MOST:
        raise UserError(
            f"{where}: {len(table)} classes, but labels have 8 bits, for {_MOST} classes; choose some by "
            "--class_names=background,NAME,NAME"
        )
    return ClassTable(tuple(table), {**ids, **dict.fromkeys(void, VOID)}, tuple(notes))


def _chosen(known, wanted, background, where):
    """Returns ({name: class id}, notes) of the classes that the user chose from the `known` names."""
    if len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise UserError(f"--class_names: {twice!r} occurs twice; each class has one name")
    if wanted[0] not in known or wanted[0] == background:
        first = 1  # the background may have any name
    else:
        raise UserError(
            f"--class_names={','.join(wanted)}: the first class is what lies between the shapes, but {wanted[0]!r} has "
            f"shapes in {where}; begin with background"
        )
    for name in wanted[first:]:
        if name not in known:
            hint = nearest.hint(name, known) or f"; it has {', '.join(map(repr, known[:20]))}"
            raise UserError(f"--class_names: {name!r} is no class of {where}{hint}")
    ids = {name: wanted.index(name) if name in wanted else 0 for name in known}
    others = [name for name in known if name not in wanted and name != background]
    told = [f"not among --class_names and so background: {', '.join(others)}"] if others else []
    return ids, told
