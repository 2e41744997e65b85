"""The benchmark of exports: every contender is called in turn, what is not installed is left out."""

import numpy as np

from deeplab import UserError, benchmark_export, formats


def test_contenders_take_turns():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    milliseconds = benchmark_export.interleaved(functions, 2)
    assert calls == ["a", "b"] * 5
    assert {name: len(times) for name, times in milliseconds.items()} == {"a": 2, "b": 2}


def test_a_table_of_those_that_are_installed(monkeypatch, capsys):
    class Format:
        @staticmethod
        def reader(folder, exported, **how):
            return lambda images: np.zeros(images.shape[:3], np.int32)

    def export(config):
        if config.format == "openvino":
            raise UserError("needs the extra")

    monkeypatch.setattr(formats, "module", lambda name: Format)
    benchmark_export.print_export(export, "logdir", (9, 17), 2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "OpenVINO: left out (needs the extra)"
    assert "One image 9x17 to labels, 2 runs in turn" in lines
    rows = [line for line in lines if "100.00 %" in line]
    assert len(rows) == len(benchmark_export.CONTENDERS) - 2
