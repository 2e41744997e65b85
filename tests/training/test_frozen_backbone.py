"""freeze_backbone_steps: nothing of the backbone changes before the thaw, and then it starts as if it were new."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.optimization import OptimizerConfig, ScheduleConfig
from deeplab.training.state import Checkpoints
from helpers import tiny_training as tiny

RATE, FROZEN = 0.1, 2
OPTIMIZERS = {
    "momentum": {},
    "nesterov": {"optimizer": "momentum", "nesterov": True},
    "adam": {"adam_learning_rate": RATE},
    "adamw": {},
}


def settings(frozen_steps=FROZEN, **optimizer):
    options = {"weight_decay": 0.01, "moving_average_decay": 0.9, **optimizer}
    return tiny.config(
        schedule=ScheduleConfig(base_learning_rate=RATE, training_number_of_steps=20, learning_power=0.0),
        optimizer=OptimizerConfig(freeze_backbone_steps=frozen_steps, **options),
    )


def changed(before, after, scope):
    """Returns the names below `scope` whose values differ; the draws of a dropout are no part of what is frozen."""
    names = [name for name in before if name.startswith(scope) and not name.endswith("/draws")]
    return {name for name in names if not np.array_equal(before[name], after[name])}, set(names)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_of_the_backbone_changes_before_the_thaw(name):
    step = tiny.step(settings(**{"optimizer": name, **OPTIMIZERS[name]}))
    norm = step.model.get_layer("net.conv.BatchNorm")
    norm.moving_mean.assign(np.linspace(-1, 1, 8))
    before = tiny.weights(step)
    run = tf.function(tf.autograph.experimental.do_not_convert(step))
    for i, (images, labels) in enumerate(tiny.batches(FROZEN + 1)):
        run(tf.constant(images), tf.constant(labels))
        after = tiny.weights(step)
        moved, names = changed(before, after, "net/")
        assert moved == (names if i == FROZEN else set()), i
        moved, names = changed(before, after, "logits/")
        assert moved == names
    if name.startswith("adam"):  # The first update of Adam moves each weight by the rate, if its gradient is not tiny.
        kernel = before["net/conv/weights"] * (1 - (RATE * 0.01 if name == "adamw" else 0))
        moved = np.abs(after["net/conv/weights"] - kernel)
        assert np.median(moved) == pytest.approx(RATE, rel=1e-3)


def test_a_frozen_batch_norm_normalises_by_its_averages():
    before, after = (tiny.train(tiny.step(settings(frozen_steps=1)), count=count)["loss"] for count in (1, 2))
    expected = tiny.train(tiny.step(settings(frozen_steps=0), frozen=True), count=1)["loss"]
    assert before == pytest.approx(expected, rel=1e-6)
    always = tiny.train(tiny.step(settings(frozen_steps=2)), count=2)["loss"]
    assert abs(after - always) > 1e-3


def test_a_resumed_training_crosses_the_thaw_exactly(tmp_path):
    whole, first, second = (tiny.step(settings(optimizer="adamw")) for _ in range(3))
    batches = tiny.batches(4)

    def train(step, batches):
        run = tf.function(tf.autograph.experimental.do_not_convert(step))
        for images, labels in batches:
            run(tf.constant(images), tf.constant(labels))

    train(whole, batches)
    train(first, batches[:1])
    Checkpoints(str(tmp_path), first, keep=1).save()
    assert Checkpoints(str(tmp_path), second, keep=1).resume() == 1
    train(second, batches[1:])
    expected, found = tiny.weights(whole), tiny.weights(second)
    assert not [name for name in expected if not np.array_equal(expected[name], found[name])]


@pytest.mark.slow
def test_two_replicas_freeze_as_one_does():
    one, two = tiny.step(settings()), tiny.runner(tiny.two_replicas(), settings(), count=4)
    tiny.train(one, count=4)
    two.run(4)
    tiny.check_same(tiny.weights(one), tiny.weights(two.step))


@pytest.mark.slow
def test_the_frozen_step_compiles_under_xla():
    steps = [tiny.step(settings(frozen_steps=1, optimizer="adamw"), dropout=0.0) for _ in range(2)]
    plain, compiled = (
        tf.function(tf.autograph.experimental.do_not_convert(step), jit_compile=jit)
        for step, jit in zip(steps, (False, True), strict=True)
    )
    for images, labels in tiny.batches(3):
        expected, found = (run(tf.constant(images), tf.constant(labels))["loss"] for run in (plain, compiled))
        assert float(found) == pytest.approx(float(expected), rel=1e-3)


def test_a_multiplier_of_0_keeps_the_weights_of_the_head():
    step = tiny.step(settings(frozen_steps=0, optimizer="adamw", last_layer_gradient_multiplier=0.0))
    before = tiny.weights(step)
    tiny.train(step, count=2)
    after = tiny.weights(step)
    moved, names = changed(before, after, "logits/")
    assert names
    assert not moved
    assert "net/conv/weights" in changed(before, after, "net/")[0]
