"""The same step under tf_keras (TF_USE_LEGACY_KERAS=1), which the best-kept TPU projects use, has the same goldens."""

import os
import subprocess
import sys

import pytest

from helpers.places import ROOT, TESTS


@pytest.mark.slow
def test_momentum_steps_equal_the_originals():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, TESTS, TESTS / "training")))}
    command = [sys.executable, str(TESTS / "helpers" / "legacy_keras.py")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "equal to the goldens" in result.stdout
