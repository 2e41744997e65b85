"""Steps that the loss scale of float16 skips: they are counted and told, and no schedule advances with them."""

import json

import numpy as np
import pytest
import tensorflow as tf

from deeplab import devices
from deeplab.checkpoints import bundle
from deeplab.config.optimization import OptimizerConfig, ScheduleConfig
from deeplab.config.training import RunConfig
from deeplab.errors import UserError
from deeplab.training import feeding, losses
from deeplab.training.loop import StepRunner, TrainingLoop
from deeplab.training.loss_scale import SKIPPED_STEPS
from deeplab.training.progress import METRICS_FILE, Progress
from deeplab.training.state import Checkpoints
from deeplab.training.step import TrainingStep
from helpers import tiny_training as tiny

STEPS = 20
TRIES = 16  # factors from 2^15 down to 1


@pytest.fixture(autouse=True)
def float16():
    devices.set_precision("float16")
    yield
    devices.set_precision("none")


def settings(folder="unused", **optimizer):
    return tiny.config(
        train_logdir=str(folder),
        schedule=ScheduleConfig(base_learning_rate=0.1, training_number_of_steps=STEPS),
        optimizer=OptimizerConfig(**optimizer),
        run=RunConfig(mixed_precision="float16", log_steps=3),
    )


def run_of(step):
    return tf.function(tf.autograph.experimental.do_not_convert(step))


def test_no_schedule_advances_with_a_skipped_step():
    plain, skipping = (tiny.step(settings(freeze_backbone_steps=1), frozen=True, dropout=0.0) for _ in range(2))
    batches = [tuple(map(tf.constant, batch)) for batch in tiny.batches(3)]
    run, rates = run_of(skipping), []
    for i, batch in enumerate(batches):
        factor = skipping.loss_scale.factor.numpy()
        if i == 0:
            skipping.loss_scale.factor.assign(float("inf"))
        results = run(*batch)
        rates.append(float(results["learning_rate"]))
        skipping.loss_scale.factor.assign(factor)
        assert float(results["skipped_steps"]) == 1
    expected = [float(run_of(plain)(*batch)["learning_rate"]) for batch in batches[1:]]
    assert rates == [expected[0], *expected]
    assert (skipping.updates(), int(skipping.accepted_updates())) == (3, 2)
    ours, theirs = tiny.weights(skipping), tiny.weights(plain)
    for name in ("net/conv/weights", "net/conv/weights/Momentum", "logits/semantic/weights"):
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def test_a_training_that_only_overflows_ends_with_one_line(tmp_path, capsys):
    config = settings(tmp_path)
    objective = losses.Objective(config.loss, tiny.IGNORE, class_weights=1e12)  # finite, but no float16 gradient is
    step = TrainingStep(tiny.network(), objective, config)
    before = tiny.weights(step)
    images, labels = tiny.batches(1)[0]
    stream = tf.data.Dataset.from_tensors((images, labels)).repeat()
    strategy = tf.distribute.get_strategy()
    runner = StepRunner(strategy, step, feeding.distribute(strategy, lambda *_: stream, 0, 4))
    checkpoints = Checkpoints(str(tmp_path), step, keep=1)
    loop = TrainingLoop(runner, checkpoints, Progress(config), lambda at: ["img_7"])
    with pytest.raises(UserError, match=r"float16: the gradients overflow .* at step 15 .*img_7.*bfloat16") as caught:
        loop.train()
    assert "\n" not in str(caught.value)
    assert (step.updates(), int(step.accepted_updates())) == (TRIES, 0)
    after = tiny.weights(step)
    np.testing.assert_array_equal(after["net/conv/weights"], before["net/conv/weights"])
    assert "3 steps skipped" in capsys.readouterr().out
    lines = (tmp_path / METRICS_FILE).read_text().splitlines()
    values = json.loads(lines[0], parse_constant=pytest.fail)  # called for NaN and Infinity, which are no JSON
    assert (values["gradient_norm"], values["skipped_steps"]) == (None, 3)


def test_a_checkpoint_without_the_count_of_skipped_steps_is_resumed(tmp_path):
    step = tiny.step(settings())
    values = tiny.weights(step)
    del values[SKIPPED_STEPS]
    bundle.write(bundle.prefix_for(str(tmp_path), 5), {**values, "global_step": np.int64(5)})
    assert Checkpoints(str(tmp_path), step, keep=1).resume() == 5
    assert int(step.accepted_updates()) == 5
