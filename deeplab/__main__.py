"""DeepLabv3+ for TensorFlow 2: training, evaluation, pictures, export and serving of segmentation networks.

deeplab COMMAND --flag=value      or: python -m deeplab COMMAND --flag=value
deeplab COMMAND --help            all flags of a command
"""

import ast
import importlib
import pathlib
import platform
import sys

import deeplab
from deeplab.errors import EXIT_BAD_INPUT
from deeplab.files import nearest

_PROGRAMS = {  # command: module
    "train": "train",
    "eval": "eval",
    "vis": "vis",
    "predict": "predict",
    "export": "export",
    "serve": "serve",
    "benchmark": "benchmark",
    "models": "models",
    "data-service": "data_service",
}


def main():
    """Runs the program that the first word of the command line names, with the words after it."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("-h", "-help", "--help", "--helpfull", "--helpshort", "help"):
        print(_help())
    elif command in ("version", "--version"):
        print(f"deeplab {deeplab.__version__}, Python {platform.python_version()}")
    elif command in _PROGRAMS:
        sys.argv = [f"{sys.argv[0]} {command}", *rest]
        importlib.import_module(f"deeplab.{_PROGRAMS[command]}").main()
    else:
        known = nearest.hint(command, [*_PROGRAMS, "version"]) or f"; the commands are {', '.join(_PROGRAMS)}"
        print(f"error: {command!r} is no command of deeplab{known}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def _help():
    """Returns the page of all commands. No program is imported for it, since that would take longer than reading."""
    lines = [f"  {command:14}{_first_line(module)}" for command, module in _PROGRAMS.items()]
    return "\n".join([__doc__.strip(), "", *lines, f"  {'version':14}Prints the version of deeplab and of Python."])


def _first_line(module):
    """Returns the first line of the docstring of a program."""
    source = pathlib.Path(__file__).with_name(f"{module}.py").read_text("utf-8")
    return ast.get_docstring(ast.parse(source)).splitlines()[0]


if __name__ == "__main__":
    main()
