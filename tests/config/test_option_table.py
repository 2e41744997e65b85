"""`option_effects.py` names a test for every flag of every program, and each test speaks of its flags."""

import ast
import functools
import re

import pytest
from option_effects import OPTION_EFFECTS

from helpers.places import ROOT
from helpers.programs import BUILDERS, CONFIG_OF, SCRIPTS, flags_of

PROGRAMS = {**CONFIG_OF, **BUILDERS}
WRONG = "tests/config/option_effects.py, program {}: {}"


@functools.cache
def module_of(file):
    """Returns the source of a test file and {name: source} of what stands at its top level, with decorators."""
    text = (ROOT / "tests" / file).read_text()
    found = {}
    for node in ast.parse(text).body:
        targets = [node] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else getattr(node, "targets", [])
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        source = "\n".join(text.splitlines()[first - 1 : node.end_lineno])
        found.update({getattr(one, "name", getattr(one, "id", "")): source for one in targets})
    return found


def text_of(file, test):
    """Returns the source of a test, and of the tables, fixtures and functions of its file that the test uses."""
    found, waiting, texts = module_of(file), [test], {}
    while waiting:
        name = waiting.pop()
        if name not in texts:
            texts[name] = found[name]
            waiting += found.keys() & set(re.findall(r"\w+", found[name]))
    return "\n".join(texts.values())


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_flag_has_a_test_that_shows_what_it_does(program):
    flags, named = set(flags_of(program)), OPTION_EFFECTS[program].keys()
    missing, gone = sorted(flags - named), sorted(named - flags)
    assert not missing, WRONG.format(program, f"name a test for each of these flags: {', '.join(missing)}")
    assert not gone, WRONG.format(program, f"these flags do not exist: {', '.join(gone)}")


def test_no_program_is_forgotten():
    scripts = {path.stem for path in (ROOT / "datasets").glob("*.py")}
    assert scripts == SCRIPTS.keys()
    assert OPTION_EFFECTS.keys() == PROGRAMS.keys()


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_tests_exist_and_speak_of_their_flags(program):
    wrong = []
    for flag, where in OPTION_EFFECTS[program].items():
        file, test = where.split("::")
        if not (ROOT / "tests" / file).exists() or test not in module_of(file):
            wrong.append(f"{where} does not exist")
        elif not re.search(rf"\b(?:no)?{flag}\b", text_of(file, test)):
            wrong.append(f"{where} does not speak of {flag}")
    assert not wrong, WRONG.format(program, "; ".join(wrong))
