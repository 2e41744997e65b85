"""The worked changes of CONTRIBUTING.md still apply to the code."""

import re
import shutil
import subprocess

import pytest

from helpers.places import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CHANGES = dict(re.findall(r"^## A (.+?)\n.*?```diff\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def test_there_is_a_change_of_each_kind():
    assert set(CHANGES) == {"backbone", "head", "data set", "loss", "recipe"}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("what", CHANGES)
def test_change_applies(what, tmp_path):
    for path in re.findall(r"^--- a/(.+)$", CHANGES[what], re.MULTILINE):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    done = subprocess.run(
        ["git", "apply", "--verbose", "-"], input=CHANGES[what], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for path in re.findall(r"^\+\+\+ b/(.+\.py)$", CHANGES[what], re.MULTILINE):
        compile((tmp_path / path).read_text("utf-8"), path, "exec")


def test_what_it_names_exists():
    for path in re.findall(r"`((?:deeplab|scripts|tests|datasets)/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path


def test_what_is_done_for_speed_is_where_it_says():
    """A row names a function "in" a file, or "there": in the file of the row above."""
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` (?:in `(deeplab/[\w/.]+)`|there) \|", PAGE, re.MULTILINE)
    assert len(rows) >= 9
    path = ""
    for name, named in rows:
        path = named or path
        assert f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{name} is not in {path}"
