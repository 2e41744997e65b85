"""Writes deeplab/config/model.pyi, in which editors find the help text of every option of a network.

python scripts/write_stubs.py

An editor reads source files and does not run them, so that it sees no help text that a function call declares. The
texts stand in deeplab/config/model.py alone; a test compares this file with them.
"""

import dataclasses
import pathlib
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from deeplab.config import model  # noqa: E402

TARGET = ROOT / "deeplab" / "config" / "model.pyi"
HEAD = '''# Made by scripts/write_stubs.py from model.py, for editors: the help text of every option. Do not edit.
import dataclasses
from typing import Any

from deeplab.config.options import Checked

{constants}

@dataclasses.dataclass(frozen=True)
class ModelConfig(Checked):
    """{doc}"""

'''
TAIL = """    @property
    def rates(self) -> tuple[int, ...]: ...
    @property
    def logits_stride(self) -> int: ...
"""


def text():
    """Returns the text of the stub."""
    constants = [f"{name}: {_kind(value)}" for name, value in vars(model).items() if name.isupper() and name[0] != "_"]
    imported = {"AUTO", "CANONICAL"}
    constants = [line for line in constants if line.split(":")[0] not in imported]
    doc = (model.ModelConfig.__doc__ or "").rstrip() + "\n    "
    head = HEAD.format(constants="\n".join(constants), doc=doc)
    return head + "".join(map(_field, dataclasses.fields(model.ModelConfig))) + TAIL


def _kind(value):
    if isinstance(value, dict):
        return "dict[str, Any]"
    return f"tuple[{type(value[0]).__name__}, ...]"


def _field(field):
    kind = field.type if isinstance(field.type, str) else _written(field.type)
    choices = field.metadata["choices"]
    help_text = field.metadata["help"] + (f" One of {', '.join(map(str, choices))}." if choices else "")
    lines = textwrap.wrap(help_text, 110, break_long_words=False, break_on_hyphens=False)
    lines += [""] if len(lines) > 1 else []  # the quotes that end a long text stand alone
    doc = '    """' + "\n    ".join(lines) + '"""\n'
    return f"    {field.name}: {kind} = {field.default!r}\n{doc}".replace(" = '", ' = "').replace("'\n", '"\n', 1)


def _written(kind):
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
