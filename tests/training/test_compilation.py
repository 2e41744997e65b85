"""--jit_compile: what auto measures and keeps, that a measurement changes nothing, and where XLA cannot compile."""

import dataclasses
import itertools
import json
import types
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from deeplab import UserError, devices
from deeplab.config.optimization import OptimizerConfig, ScheduleConfig
from deeplab.config.training import RunConfig
from deeplab.layers import hardware
from deeplab.programs import train
from deeplab.training import compilation, loop
from helpers import small_training
from helpers import tiny_training as tiny

STEPS = 3


@pytest.fixture(autouse=True)
def _short_trainings_are_measured(monkeypatch):
    monkeypatch.setattr(compilation, "FEWEST_STEPS", 200)


def settings(steps=1000, run=None, **options):
    schedule = ScheduleConfig(base_learning_rate=0.1, training_number_of_steps=steps)
    averaged = OptimizerConfig(moving_average_decay=0.9, gradient_clip_norm=1.0)
    return tiny.config(schedule=schedule, run=run or RunConfig(), optimizer=averaged, **options)


def recorded(**run):
    return {"training": {"run": run}}


ONE, TWO = (types.SimpleNamespace(num_replicas_in_sync=count) for count in (1, 2))
TRUE, FALSE = recorded(jit_compile=True, jit_compile_provisional=False), recorded(jit_compile=False)
OPEN = recorded(jit_compile=False, jit_compile_provisional=True)


class Case(NamedTuple):
    """A training with --jit_compile=auto, and what it leads to."""

    chosen: bool | None  # None: measured
    told: str = ""
    on_gpu: bool = True
    strategy: types.SimpleNamespace = ONE
    steps: int = 1000
    deterministic: bool = False
    start: int = 0
    before: dict | None = None  # what config.json says
    provisional: bool = False


MEASURES = "times steps without XLA and with it; compiling may take several minutes"
AS_BEFORE = "trains {} XLA, as this training did before (config.json)"
SLOWER = "trains without XLA from here on, because XLA makes steps on a CPU slower"
SEVERAL = "measures on one GPU only, and 2 train here; trains without XLA (--jit_compile compiles)"
FEW = "measures nothing when fewer than 200 steps are left; trains without XLA (--jit_compile compiles)"
MAY_DIFFER = (
    "measures nothing under --deterministic, because two measurements may differ; trains without XLA (--jit_compile "
    "compiles)"
)
CASES = [
    Case(False, on_gpu=False, provisional=True),
    Case(False, on_gpu=False, strategy=TWO, provisional=True),
    Case(False, on_gpu=False, start=5, before=OPEN, provisional=True),
    Case(False, SLOWER, on_gpu=False, start=5, before=TRUE, provisional=True),
    Case(False, SEVERAL, strategy=TWO, provisional=True),
    Case(False, SEVERAL, strategy=TWO, start=5, before=TRUE, provisional=True),
    Case(True, AS_BEFORE.format("with"), start=5, before=TRUE),
    Case(True, AS_BEFORE.format("with"), start=5, before=TRUE, deterministic=True),
    Case(False, AS_BEFORE.format("without"), start=950, before=FALSE),
    Case(None, MEASURES),
    Case(None, MEASURES, start=5, before=OPEN),
    Case(None, MEASURES, before=TRUE),
    Case(False, FEW, steps=199, provisional=True),
    Case(False, FEW, start=801, before=OPEN, provisional=True),
    Case(False, MAY_DIFFER, deterministic=True, provisional=True),
]


@pytest.mark.parametrize("case", CASES)
def test_auto_measures_only_where_there_is_a_choice(case, monkeypatch):
    monkeypatch.setattr(hardware, "is_accelerated", lambda: case.on_gpu)
    said, measured = [], []
    runner = types.SimpleNamespace(strategy=case.strategy, jit_compile=False)
    runner.like = lambda jit_compile: types.SimpleNamespace(jit_compile=jit_compile)
    monkeypatch.setattr(compilation, "_faster", lambda runner, say: measured.append(1) or runner.like(True))
    config = settings(case.steps, RunConfig(deterministic=case.deterministic))
    found, config = compilation.choose(runner, config, case.start, case.before, said.append)
    assert bool(measured) is (case.chosen is None)
    assert found.jit_compile is config.run.jit_compile is (case.chosen is not False)
    assert config.run.jit_compile_provisional is case.provisional
    assert said == ([f"--jit_compile=auto: {case.told}"] if case.told else [])


@pytest.mark.parametrize("given", [True, False])
def test_what_is_given_is_neither_measured_nor_changed(given):
    config, runner = settings(run=RunConfig(jit_compile=given)), types.SimpleNamespace(jit_compile=given)
    assert compilation.choose(runner, config, 0, TRUE, None) == (runner, config)


def runner():
    return tiny.runner(devices.training_strategy(RunConfig()), settings(), STEPS)


def as_if_measured(monkeypatch, plain, compiled):
    """Lets a step on a "GPU" seem to take so many seconds: `choose` times three turns of five steps of each form."""
    turns = [5 * plain] * 3 + [5 * compiled] * 3
    clock = itertools.accumulate(itertools.chain.from_iterable((0, turn) for turn in turns))
    monkeypatch.setattr(hardware, "is_accelerated", lambda: True)
    monkeypatch.setattr(compilation, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))


@pytest.mark.slow
@pytest.mark.parametrize(("plain", "compiled", "chosen"), [(0.186, 0.091, True), (0.1, 0.096, False)])
def test_a_measured_training_equals_one_to_which_the_choice_was_given(plain, compiled, chosen, monkeypatch):
    as_if_measured(monkeypatch, plain, compiled)
    given = runner().like(jit_compile=chosen)
    given.run(STEPS)
    expected = tiny.weights(given.step)
    said, measured = [], runner()
    found, config = compilation.choose(measured, settings(), 0, None, said.append)
    assert found.jit_compile is config.run.jit_compile is chosen
    assert not config.run.jit_compile_provisional
    assert found.step.updates() == 0
    found.run(STEPS)
    weights = tiny.weights(found.step)
    assert not [name for name in expected if not np.array_equal(expected[name], weights[name])]
    assert expected["global_step"] == weights["global_step"] == STEPS
    how = "with XLA (--jit_compile" if chosen else "without XLA (--nojit_compile"
    assert said[1:] == [
        f"--jit_compile=auto: {1000 * compiled:.0f} ms a step with XLA, {1000 * plain:.0f} ms without; training {how} "
        "says so without measuring)"
    ]


@pytest.mark.slow
def test_a_step_that_xla_cannot_compile_trains_without(monkeypatch):
    as_if_measured(monkeypatch, 1, 1)
    trained = runner()
    objective = trained.step.objective

    def with_text(outputs, labels, step):  # XLA knows no texts
        losses = objective(outputs, labels, step)
        text = tf.strings.as_string(step) if hardware.is_compiled() else tf.constant("")
        return {name: loss + 0 * tf.cast(tf.strings.length(text), tf.float32) for name, loss in losses.items()}

    with_text.ignore_label = objective.ignore_label
    trained.step.objective = with_text
    said = []
    found, config = compilation.choose(trained, settings(), 0, None, said.append)
    assert found is trained
    assert config.run.jit_compile is False
    assert "XLA cannot compile this step (" in said[-1]
    assert "AsString" in said[-1]
    assert "\n" not in said[-1]
    assert found.step.updates() == 0
    assert np.isfinite(found.run(STEPS)["loss"])


@pytest.mark.slow
def test_the_choice_is_stored_and_a_resumed_training_keeps_it(monkeypatch, tmp_path, shortest_mobilenet):
    monkeypatch.setattr(hardware, "is_accelerated", lambda: True)
    measured = []
    monkeypatch.setattr(compilation, "_faster", lambda runner, say: measured.append(1) or runner.like(jit_compile=True))

    def take_one_step(self):
        if self.runner.step.updates() == 0:
            self.runner.step.global_step.assign_add(1)
            self.checkpoints.save()
        made.append(self.runner.jit_compile)

    made = []
    monkeypatch.setattr(loop.TrainingLoop, "train", take_one_step)
    config = tiny.config(
        train_logdir=str(tmp_path / "run"), dataset_dir=small_training.shards(), train_split="val", train_batch_size=2,
        train_crop_size=(33, 33), model={"depth_multiplier": 0.25},
        run=RunConfig(save_summaries_images=False),
    )  # fmt: skip
    stored = lambda: json.loads((tmp_path / "run" / "config.json").read_text())["training"]["run"]["jit_compile"]  # noqa: E731
    for given, expected in (("auto", True), ("auto", True), (False, False), ("auto", False)):
        train.train(dataclasses.replace(config, run=dataclasses.replace(config.run, jit_compile=given)))
        assert stored() is made[-1] is expected
    assert measured == [1]


WHERE = [  # (logical GPUs, physical GPUs, told)
    (0, 0, "XLA cannot sum over 2 logical CPUs"),
    (2, 1, "XLA cannot sum over logical devices on one GPU"),
    (2, 2, None),
]


@pytest.mark.parametrize(("logical", "physical", "told"), WHERE)
def test_replicas_whose_sums_xla_cannot_compile_are_refused(logical, physical, told, monkeypatch):
    strategy = tiny.two_replicas()
    monkeypatch.setattr(hardware, "is_accelerated", lambda: bool(logical))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["gpu"] * logical)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * physical)
    compilation.refuse("auto", strategy)
    compilation.refuse(False, strategy)
    compilation.refuse(True, ONE)
    if told is None:
        compilation.refuse(True, strategy)
    else:
        with pytest.raises(UserError, match=f"jit_compile=True: {told}; leave it out, or take --distribution_strategy"):
            compilation.refuse(True, strategy)


def test_the_refusal_comes_before_anything_is_built():
    config = tiny.config(run=RunConfig(distribution_strategy="mirrored", jit_compile=True))
    with pytest.raises(UserError, match="2 logical CPUs"):
        train.train(config)  # its folders do not exist
