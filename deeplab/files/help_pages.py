"""What pages of help share: the words that ask for one, lines read from docstrings, and printing."""

import ast
import os
import pathlib
import sys

WORDS = ("-h", "--h", "-help", "--help", "--helpfull", "--helpshort")


def first_line(path):
    """Returns the first line of the docstring of the Python file `path`. Importing it would take longer."""
    return ast.get_docstring(ast.parse(pathlib.Path(path).read_text("utf-8"))).splitlines()[0]


def show(text):
    """Prints a page that a reader such as `head` or a pager may stop reading early."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
