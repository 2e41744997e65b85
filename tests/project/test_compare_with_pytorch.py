"""scripts/compare_with_pytorch.py, with a program that stands in for PyTorch's process."""

import importlib
import sys

import pytest

from helpers.places import ROOT

NO_TORCH = "from gpu_check import rows; rows.send('PyTorch', skipped='ImportError: no torch')"
PEER = (
    "import sys; from gpu_check import rows; rows.send('PyTorch', version='9')\n"
    "for line in sys.stdin: rows.send('turn', ms=float(line) * 10)"
)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield importlib.import_module("compare_with_pytorch")
    del sys.modules["compare_with_pytorch"]


def stand_in(script, monkeypatch, tmp_path, text):
    """Lets PyTorch's process run `text`."""
    path = tmp_path / "peer.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n{text}\n")
    monkeypatch.setattr(script, "PEER", path)


def test_the_two_take_turns(script, monkeypatch, tmp_path):
    stand_in(script, monkeypatch, tmp_path, PEER)
    with script.peer(sys.executable, {"network": "mobilenet_v2"}) as take:
        assert [take(2), take(3)] == [20, 30]


@pytest.mark.parametrize(("text", "told"), [(NO_TORCH, "ImportError: no torch"), ("raise ValueError", "see above")])
def test_a_python_without_pytorch_is_told_in_one_line(script, monkeypatch, tmp_path, text, told):
    stand_in(script, monkeypatch, tmp_path, text)
    with pytest.raises(SystemExit, match=f"error: --torch_python=.*{told}"), script.peer(sys.executable, {}) as take:
        take(1)


def test_options_that_make_no_sense(script, capsys):
    for words, told in (
        (["--torch_python=/no/python"], "--torch_python=/no/python: no such program"),
        ([f"--torch_python={sys.executable}", "--turns=1"], "--turns=1: expected at least 2"),
    ):
        with pytest.raises(SystemExit):
            script.parsed(words)
        assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_line_has_the_median_of_the_ratios(script):
    text = script.line("net", (1000.0, 2000.0, 1000.0), (1500.0, 2000.0, 2000.0))
    assert text.split() == ["net", "1.000", "s", "2.000", "s", "1.50", "1.25-1.75"]


def test_the_networks_are_those_of_the_benchmark(script):
    from deeplab.config.benchmark import NETWORKS

    assert {network for network, *_ in script.CELLS.values()} <= set(NETWORKS)
