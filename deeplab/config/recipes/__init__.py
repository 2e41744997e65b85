"""Recipes: trainings that `deeplab train --recipe=NAME` repeats, each a file of flags.

The header of a file tells its commands, what to expect and where the numbers come from.
"""

import pathlib

from deeplab.errors import UserError
from deeplab.files import nearest

SUFFIX = ".flags"
_FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
    """Returns the names of all recipes, in alphabetical order."""
    return sorted(path.name.removesuffix(SUFFIX) for path in _FOLDER.glob(f"*{SUFFIX}"))


def path(name: str) -> pathlib.Path:
    """Returns the file of a recipe, whose name may end in .flags.

    Raises:
      UserError: there is no such recipe; it gives the nearest names and the list.
    """
    known = names()
    plain = name.removesuffix(SUFFIX)
    if plain not in known:
        raise UserError(f"recipe={name!r}: expected one of {', '.join(known)}{nearest.hint(plain, known)}")
    return _FOLDER / f"{plain}{SUFFIX}"


def expanded(words: list[str]) -> list[str]:
    """Returns the words of a command line with the flags of the recipe in place of every --recipe=NAME.

    Flags that come after a recipe therefore go before its flags, as with --flagfile.

    Raises:
      UserError: as `path`.
    """
    found, waiting = [], list(words)
    while waiting:
        word = waiting.pop(0)
        flag, equals, name = word.partition("=")
        if flag.lstrip("-") == "recipe" and word.startswith("-"):
            name = name if equals else waiting.pop(0) if waiting else ""
            lines = path(name).read_text("utf-8").splitlines()
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        else:
            found.append(word)
    return found
