"""The bar counts and names what it counts; it prints nothing where no terminal shows it."""

import sys

import pytest

from deeplab.files import progress_bar


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("total", [3, None])
def test_only_terminals_show_the_bar(capsys, monkeypatch, terminal, total):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress_bar.show(total, "image", "train") as bar:
        for _ in range(3):
            bar.update()
    told = capsys.readouterr().err
    assert ("train" in told and "3" in told and "image" in told) == terminal
    assert bool(told) == terminal


def test_steps_are_observed_though_nothing_is_shown():
    with progress_bar.observed() as moments, progress_bar.observed() as same, progress_bar.show(5, "image") as bar:
        bar.update()
        bar.update(3)
    with progress_bar.show(1, "image") as bar:
        bar.update()
    assert len(moments) == len(same) == 4
    assert moments == sorted(moments)
