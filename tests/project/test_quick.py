"""What `bash scripts/test.sh --quick` covers: something of every part, whatever else is marked slow."""

import functools
import subprocess
import sys

import pytest

from helpers.places import ROOT

pytestmark = pytest.mark.slow  # it collects all tests again
COVERED = {  # what every quick round has to try: the beginning of the name of a test
    "architecture": "tests/test_architecture.py::",
    "command line": "tests/test_cli.py::",
    "configurations": "tests/config/test_config_model.py::",
    "logits of the original": "tests/model/test_golden_cases.py::test_logits[",
    "layers": "tests/layers/test_layers.py::",
    "losses": "tests/training/test_losses.py::",
    "metrics": "tests/evaluation/test_metrics.py::",
    "data pipeline": "tests/data/test_data_pipeline.py::",
    "training and resume": "tests/programs/test_train.py::test_a_damaged_newest_checkpoint_falls_back",
    "export": "tests/exporting/test_export_signatures.py::",
    "a request to the server": "tests/serving/test_serve.py::test_rows_and_columns[",
}


@functools.cache
def collected():
    """Returns the output of pytest when it collects the tests of the quick round without running them."""
    command = [sys.executable, "-m", "pytest", "--quick", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("part", COVERED)
def test_every_part_is_covered(part):
    assert any(line.startswith(COVERED[part]) for line in collected().splitlines())


def test_what_is_left_out_is_told():
    _tests, title, summary = collected().partition("left out by --quick")
    assert title
    assert "bash scripts/test.sh" in summary
    assert " in tests/training/test_resume.py" in summary
