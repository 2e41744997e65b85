"""The notebook runs from top to bottom, without network: with random weights, and with those of a training."""

import json

import numpy as np
import pytest

from helpers import small_training
from helpers.places import ROOT

NOTEBOOK = ROOT / "scripts" / "demo.ipynb"


def run(folder, monkeypatch, capsys):
    """Runs all cells in `folder`; returns (what they defined, what they printed)."""
    monkeypatch.chdir(folder)
    names = {}
    for i, cell in enumerate(json.loads(NOTEBOOK.read_text("utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {i}", "exec"), names)
    return names, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet", "quick_tracing")
def test_with_random_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("LOGDIR", raising=False)
    names, told = run(tmp_path, monkeypatch, capsys)
    assert not names["report"].missing
    assert len(names["report"].loaded) == len(names["model"].variables)
    assert "(None, None, None, 3) -> (None, None, None, 21)" in told
    height, width, _ = names["image"].shape
    assert names["side_by_side"].shape == (height, 3 * width, 3)
    np.testing.assert_array_equal(names["side_by_side"][:, :width], names["image"])
    np.testing.assert_allclose(names["probabilities"].sum(-1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet", "quick_tracing")
def test_with_a_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOGDIR", str(small_training.logdir()))
    names, told = run(tmp_path, monkeypatch, capsys)
    assert names["config"].num_classes == small_training.CLASSES
    assert names["labels"].max() < small_training.CLASSES
    assert "% of the picture" in told


def test_is_stored_without_results():
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
