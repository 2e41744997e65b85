"""The scripts: syntax, messages, the quickstart in a short form, run twice, and a few runs with flags at random."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from helpers.places import ROOT

SHELL_SCRIPTS = [*(ROOT / "scripts").rglob("*.sh"), ROOT / ".ci" / "run"]
# A link leads to an environment that other checkouts share, and the scripts would install this one into it.
IS_OWN = not (ROOT / ".venv").is_symlink()
IN_OWN_ENVIRONMENT = IS_OWN and pathlib.Path(sys.prefix).resolve() == (ROOT / ".venv").resolve()


def _bash(*command, **environment):
    return subprocess.run(
        ["bash", *map(str, command)], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_syntax(script):
    done = _bash("-n", script)
    assert done.returncode == 0, done.stderr


def test_a_machine_without_python_is_told_what_to_install(tmp_path):
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "environment.sh", tmp_path / "scripts")
    shutil.copy(ROOT / "scripts" / "test.sh", tmp_path / "scripts")
    done = _bash(tmp_path / "scripts" / "test.sh", DEEPLAB_PYTHON="/no/such/python")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no Python 3.10 to 3.13")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
@pytest.mark.skipif(not IN_OWN_ENVIRONMENT, reason="would install into .venv; runs where scripts/test.sh made it")
def test_quickstart_short_and_then_again(tmp_path):
    first = _bash("scripts/quickstart.sh", tmp_path / "out", STEPS="3", IMAGES="8")
    assert first.returncode == 0, first.stdout + first.stderr
    for text in ("mIoU", "6/6", "Done in"):
        assert text in first.stdout
    assert (tmp_path / "out" / "segmented.png").exists()
    assert list((tmp_path / "out" / "pictures" / "segmentation_results").glob("*.png"))
    again = _bash("scripts/quickstart.sh", tmp_path / "out", STEPS="5", IMAGES="8")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Resuming" in again.stdout
    assert (tmp_path / "out" / "train" / "model.ckpt-5.index").exists()
    assert (tmp_path / "out" / "export" / "2" / "saved_model.pb").exists()


@pytest.mark.slow
def test_flags_at_random_end_well_or_with_one_line(tmp_path, short_mobilenet):
    spec = importlib.util.spec_from_file_location("fuzz_programs", ROOT / "scripts" / "fuzz_programs.py")
    fuzz_programs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz_programs)
    data = fuzz_programs.make_data(tmp_path / "data")
    assert fuzz_programs.random_flags(data, tmp_path / "runs", 10, seed=0) == []
