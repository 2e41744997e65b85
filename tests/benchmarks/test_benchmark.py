"""The benchmarks measure what they say: turns, equal networks, equal first losses; figures are kept and compared."""

import json
import re
import types

import numpy as np
import pytest
import tensorflow as tf

from deeplab import UserError
from deeplab.benchmarks import export as benchmark_export
from deeplab.benchmarks import scaling, several_devices, startup, timing, training
from deeplab.benchmarks.timing import Row
from deeplab.config.benchmark import NETWORKS, BenchmarkConfig
from deeplab.exporting.formats import FORMATS
from deeplab.model.network import build_model
from deeplab.programs import benchmark


def test_contenders_take_turns():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    milliseconds = timing.interleaved(functions, 2, warm_up=3)
    assert calls == ["a", "b"] * 5
    assert {name: len(times) for name, times in milliseconds.items()} == {"a": 2, "b": 2}


def test_figures_are_kept_and_compared(tmp_path):
    rows = [Row.of("x", [1, 2, 3]), Row.of("y", [5.0], "s")]
    path = str(tmp_path / "figures.json")
    timing.save(path, rows)
    assert json.loads((tmp_path / "figures.json").read_text())["machine"]["cores"] > 0
    old = timing.load(path)
    assert old == {"x": Row("x", 2.0, 1.5, 2.5, "ms"), "y": Row("y", 5.0, 5.0, 5.0, "s")}
    lines = timing.comparison(old, [Row.of("x", [4]), Row.of("new", [1])])
    assert len(lines) == 2
    assert lines[1].split() == ["x", "2.00", "4.00", "2.00", "ms"]


@pytest.mark.parametrize("content", [None, "{", "[1]", '{"rows": [{"name": 1}]}'])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "old.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"--compare=.*old\.json"):
        benchmark.benchmark(BenchmarkConfig(input=True, compare=str(path)))


REFUSED = [
    *({}, {"export": True, "networks": ("vgg",)}, {"cost": True, "runs": 0}),
    *({"training": True, "devices": (1, 0)}, {"cost": True, "devices": (2,)}),
    {"training": True, "devices": (1,), "profile_logdir": "p"},
    *({"export": True, "dataset_dir": "d"}, {"programs": True, "eval_split": "s"}, {"programs": True, "images": 2}),
]


@pytest.mark.parametrize("options", REFUSED)
def test_refused_options(options):
    with pytest.raises(UserError, match=next(reversed(options), "cost")):
        BenchmarkConfig(**options)


BASE = {"size": (65, 97), "runs": 3, "networks": ("mobilenet_v2",)}
ASKED = [  # (options, what is called with them)
    ({"cost": True}, [("print_costs", False)]),
    ({"cost": True, "quick": True}, [("print_costs", True)]),
    ({"input": True, "quick": True}, [("print_input", True)]),
    ({"export": True, **BASE, "profile_logdir": "p"},
     [("print_networks", "export", {"mobilenet_v2": NETWORKS["mobilenet_v2"]}, (65, 97), 3, "p")]),
    ({"export": True, "checkpoint_dir": "run", "runs": 3}, [("print_export", "export", "run", (513, 513), 3)]),
    ({"training": True, "precisions": ("bfloat16",), "runs": 3, "jit_compile": True},
     [("alone", "print_training", 3, ("bfloat16",), True, None)]),
    ({"training": True, "devices": (1, 2), "runs": 3}, [("print_devices", (1, 2), ("none",), 3)]),
    ({"scaling": True, "networks": ("mobilenet_v2",)}, [("print_scaling", NETWORKS["mobilenet_v2"], "mobilenet_v2", 20),
     ("print_batches", "mobilenet_v2", 20, training.SETTINGS[0].crop, scaling.BATCHES)]),
    ({"startup": True, "runs": 3}, [("print_startup", 3)]),
    ({"programs": True, "checkpoint_dir": "run", "dataset_dir": "d", "eval_split": "s", "images": 9, "runs": 1},
     [("print_programs", "programs", "run", ("d", "s", 9), 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), ASKED)
def test_what_is_asked_for_is_measured(options, expected, monkeypatch):
    calls = []

    def note(name):
        return lambda *arguments, **_: calls.append((name, *arguments)) or []

    for name in {call[0] for call in expected}:
        monkeypatch.setattr(benchmark, name, note(name))
    monkeypatch.setattr(benchmark, "export", "export")
    monkeypatch.setattr(benchmark, "print_training", "print_training")
    monkeypatch.setattr(benchmark, "Programs", lambda *_: "programs")
    if "startup" in options:
        monkeypatch.setattr(benchmark, "write_untrained", lambda *_: None)
        monkeypatch.setattr(benchmark, "export", lambda _config: None)
        monkeypatch.setattr(
            benchmark, "print_startup", lambda runs, *_folders: calls.append(("print_startup", runs)) or []
        )
    benchmark.benchmark(BenchmarkConfig(**options))
    assert calls == expected


def test_results_are_written_and_compared(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(benchmark, "print_input", lambda quick: [Row.of("images", [4.0])])
    path = str(tmp_path / "figures.json")
    benchmark.benchmark(BenchmarkConfig(input=True, json=path))
    assert timing.load(path) == {"images": Row.of("images", [4.0])}
    benchmark.benchmark(BenchmarkConfig(input=True, compare=path))
    assert capsys.readouterr().out.splitlines()[-1].split()[0] == "images"


@pytest.mark.slow
def test_a_table_of_the_formats_that_are_installed(monkeypatch, capsys, tmp_path):
    class Format:
        @staticmethod
        def reader(folder, **how):
            return lambda images: np.zeros(images.shape[:3], np.int32)

    def export(config):
        if config.format == "openvino":
            raise UserError("needs the extra")

    monkeypatch.setattr(benchmark_export, "FORMATS", dict.fromkeys(FORMATS, Format))
    monkeypatch.setattr(benchmark_export, "alone", lambda function, *arguments: function(*arguments))
    benchmark_export.write_untrained(str(tmp_path), NETWORKS["mobilenet_v2"])
    rows = benchmark_export.print_export(export, str(tmp_path), (9, 17), 2, "net")
    said = capsys.readouterr().out
    assert said.startswith("OpenVINO: left out (needs the extra)")
    assert said.count("100.00 %") == len(rows) == len(benchmark_export.CONTENDERS) - 3
    assert rows[0].name == "net 9x17, SavedModel, plain"


@pytest.mark.slow
def test_the_network_of_keras_layers_is_the_same():
    network = build_model(NETWORKS["mobilenet_v2"], (33, 33, 3))
    for variable in network.variables:
        if variable.path.endswith(("moving_mean", "gamma")):
            variable.assign(tf.random.stateless_uniform(variable.shape, (1, 2), 0.5, 1.5))
    images = np.random.default_rng(0).integers(0, 256, (1, 33, 33, 3)).astype(np.float32)
    plain = training.of_keras_layers(network)
    expected = network(images).numpy()
    np.testing.assert_allclose(plain(images).numpy(), expected, atol=1e-4 * np.abs(expected).max())
    parts = [part for layer in plain.layers for part in getattr(layer, "inner", [layer]) if part.trainable_weights]
    assert {type(part).__module__.partition(".")[0] for part in parts} == {"keras"}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_ours_is_also_timed_with_xla_on_request(jit_compile, monkeypatch):
    compiled = []

    def runner(strategy, step, batches, jit_compile):
        compiled.append(jit_compile)
        return types.SimpleNamespace(run=lambda count: {"loss": 1.0})

    for name in ("_network", "_fit", "of_keras_layers"):
        monkeypatch.setattr(training, name, lambda *_: None)
    monkeypatch.setattr(training.views, "scale_outputs", lambda network: network)
    monkeypatch.setattr(training, "TrainingStep", lambda *_: None)
    monkeypatch.setattr(training, "StepRunner", runner)
    takes = training._contenders(training.Setting("mobilenet_v2", 33, 2), ("none", "bfloat16"), jit_compile)
    ours = [name for name in takes if name.startswith("ours") and "2 devices" not in name]
    plain = ["ours", "ours, bfloat16"]
    assert ours == (["ours", "ours, XLA", "ours, bfloat16", "ours, bfloat16, XLA"] if jit_compile else plain)
    assert compiled[: len(ours)] == (["XLA" in name for name in ours])
    assert not any(compiled[len(ours) :])


@pytest.mark.slow
def test_all_trainings_begin_with_one_loss(short_mobilenet, quick_tracing, capsys):
    settings = (training.Setting("mobilenet_v2", 33, 2),)
    rows = training.print_training(1, ("none",), settings=settings)
    lines = capsys.readouterr().out.splitlines()[-len(rows) :]
    losses = {row.name.partition(": ")[2]: float(line[60:71]) for row, line in zip(rows, lines, strict=True)}
    assert set(losses) == {"ours", "ours, 2 devices", "Keras fit, our layers, no L2", "Keras fit, Keras layers"}
    without_l2 = losses.pop("Keras fit, our layers, no L2")
    np.testing.assert_allclose(list(losses.values()), losses["ours"], rtol=1e-3)
    assert without_l2 < losses["ours"]


@pytest.mark.slow
def test_one_device_and_two(short_mobilenet, quick_tracing, monkeypatch, capsys):
    """Two devices have a batch twice as large, so that the first loss is a little different."""
    monkeypatch.setattr(several_devices, "alone", lambda function, *arguments, logical_cpus: function(*arguments))
    rows = several_devices.print_devices((1, 2), ("none",), 1, (training.Setting("mobilenet_v2", 33, 2),))
    assert [row.name.partition("33, ")[2] for row in rows] == ["batch 2 x 1", "batch 2 x 2"]
    assert all(row.unit == "images/s" and row.median > 0 for row in rows)
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [int(line[61:69]) for line in lines] == [1, 2]
    first = [float(line[69:80]) for line in lines]
    assert first[0] == pytest.approx(first[1], rel=0.02)
    assert lines[0].split()[-1] == "1.00"


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(several_devices.tf.config, "list_physical_devices", lambda kind: ["a", "b"])
    with pytest.raises(UserError, match="--devices=1,4: this machine has 2 GPUs"):
        several_devices.print_devices((1, 4), ("none",), 1)


@pytest.mark.slow
def test_cost_against_work(short_mobilenet, quick_tracing, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "alone", lambda function, *arguments: function(*arguments))
    for name, value in {"_SIDE": 33, "STRIDES": (16,), "BATCHES": (2,), "FIVE_SCALES": (0.5, 1.0)}.items():
        monkeypatch.setattr(scaling, name, value)
    rows = scaling.print_scaling(NETWORKS["mobilenet_v2"], "net", 1, sides=(17,))
    assert [row.name.partition(", ")[2] for row in rows] == [
        *("17x17", "33x33, output stride 16", "33x33, batch 2"),
        *("one pass", "five scales and flip"),
    ]
    said = capsys.readouterr().out
    one, two = (float(re.search(rf"{name} .* ([0-9.]+) G ", said).group(1)) for name in ("stride 16", "batch 2"))
    assert two == pytest.approx(2 * one, abs=0.02)


@pytest.mark.slow
def test_training_against_batch(short_mobilenet, quick_tracing, monkeypatch, capsys):
    monkeypatch.setattr(training, "alone", lambda function, *arguments: function(*arguments))
    rows = training.print_batches("mobilenet_v2", 1, crop=33, batches=(1, 2))
    assert [row.name for row in rows] == ["mobilenet_v2, training, batch 1", "mobilenet_v2, training, batch 2"]
    assert all(row.unit == "images/s" and row.median > 0 for row in rows)
    assert capsys.readouterr().out.count(" images/s ") == 2


def test_seconds_until_a_line(tmp_path):
    command = ["bash", "-c", "echo step 1/9; sleep 60"]
    assert startup._wait(command, "step 1/") < 60
    with pytest.raises(RuntimeError, match="ended before"):
        startup._wait(["true"], "step 1/")
