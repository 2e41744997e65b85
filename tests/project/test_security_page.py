"""SECURITY.md: the table of faults names every fault, and tests that exist."""

import ast
import re

import pytest

from helpers.places import ROOT

PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
SECTION = PAGE.partition("## Files and trainings")[2].partition("\n## ")[0]
TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", PAGE)))
FAULTS = (
    "killed process", "full disk", "read-only disk", "lost permission", "clock that jumps", "half a file",
    "two processes in one folder",
)  # fmt: skip
PROGRAMS = ("train", "eval", "vis", "predict", "export", "builders")


def rows():
    """Returns [(fault, programs, what happens, test)]; an empty fault is that of the row above."""
    lines = [line for line in SECTION.splitlines() if line.startswith("| ") and not line.startswith("| fault |")]
    cells = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]
    assert cells
    assert all(len(row) == 4 for row in cells)
    faults = []
    for row in cells:
        faults.append(row[0] or faults[-1])
    return [(fault, *row[1:]) for fault, row in zip(faults, cells, strict=True)]


@pytest.mark.parametrize(("file", "test"), TESTS)
def test_tests_of_the_table_exist(file, test):
    names = {node.name for node in ast.parse((ROOT / file).read_text("utf-8")).body if hasattr(node, "name")}
    assert test in names, f"SECURITY.md names {file}::{test}"


def test_every_row_names_a_test():
    assert all(re.fullmatch(r"`tests/[\w/.]+\.py::\w+`", row[3]) for row in rows())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_fault_is_told_of_every_program(fault, program):
    told = " ".join(row[1] for row in rows() if row[0].startswith(fault))
    assert program in told or re.search(r"\ball\b", told), f"{fault}: nothing about {program}"
