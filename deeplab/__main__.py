"""DeepLabv3+ for TensorFlow 2: training, evaluation, pictures, export and serving of segmentation networks.

deeplab COMMAND --flag=value      or: python -m deeplab COMMAND --flag=value
deeplab COMMAND --help            all flags of a command
"""

import importlib
import pathlib
import platform
import sys

import deeplab
from deeplab.errors import EXIT_BAD_INPUT
from deeplab.files import help_pages, nearest

_PROGRAMS = {  # command: module, whose docstring begins with the line of `deeplab --help`, and whose main() runs it
    "train": "train",
    "eval": "eval",
    "vis": "vis",
    "predict": "predict",
    "export": "export",
    "serve": "serve",
    "benchmark": "benchmark",
    "build": "programs.builders.command",
    "check": "programs.builders.check",
    "inspect": "programs.inspecting.command",
    "models": "models",
    "data-service": "data_service",
}


def main():
    """Runs the program that the first word of the command line names, with the words after it."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in (*help_pages.WORDS, "help"):
        help_pages.show(_help())
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
    here = pathlib.Path(__file__).parent
    files = {command: here / f"{module.replace('.', '/')}.py" for command, module in _PROGRAMS.items()}
    lines = [f"  {command:14}{help_pages.first_line(path)}" for command, path in files.items()]
    return "\n".join([__doc__.strip(), "", *lines, f"  {'version':14}Prints the version of deeplab and of Python."])


if __name__ == "__main__":
    main()
