"""Losses, gradients, momentum steps and moving averages of the original (the `train` part of the golden cases).

`helpers/golden_training.py` says how close they have to be.
"""

import numpy as np
import pytest
import tensorflow as tf

from deeplab import processor
from deeplab.model.names import reference_name
from helpers import golden_cases
from helpers.golden_training import MODES, NAMES, Subject

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_tracing")]
RATES = "steps_learning_rate"


@pytest.fixture(scope="module", params=[(name, mode) for name in NAMES for mode in MODES], ids="-".join)
def subject(request):
    name, mode = request.param
    return Subject(*golden_cases.load(name), mode)


def test_losses(subject):
    """Plain, with label_weights, top_k_percent_pixels, its hard_example_mining_step, and upsample_logits=False."""
    for key, value in subject.loss_values().items():
        subject.check(key, value)


def test_gradients_multipliers_and_moving_averages(subject):
    train = subject.train
    step, gradients, values = subject.gradient_values()
    for key, value in values.items():
        subject.check(key, value)
    plain, norm = subject.without_multipliers(step, gradients)
    shaped, _ = step.shaped(dict(gradients), tf.constant(0, tf.int64))
    assert {name: value for name, value in step.multipliers.items() if value != 1} == train["gradient_multipliers"]
    subject.check("grad_global_norm", norm)
    names = train["trainable_variables"]
    rounding = subject.arrays[f"{subject.mode}/grad_norms_rounding"]
    if not processor.uses_onednn():
        rounding = 5 * rounding  # Eigen sums the mean of a batch norm less exactly: 44 times `rounding` was measured
    for key, values in (("grad_norms", plain), ("grad_norms_multiplied", shaped)):
        norms = np.array([np.linalg.norm(values[name]) for name in names])
        expected = subject.arrays[f"{subject.mode}/{key}"]
        scale = np.array([train["gradient_multipliers"].get(name, 1.0) for name in names]) if "mult" in key else 1.0
        atol = 10 * rounding * scale + 1e-4 * expected + 1e-6 * expected.max()
        assert (np.abs(norms - expected) <= atol).all(), [
            (names[i], norms[i], expected[i], atol[i]) for i in np.flatnonzero(np.abs(norms - expected) > atol)
        ]
    for name in train["gradient_tensors"]:
        subject.check(f"grad:{name}", plain[name])
    if subject.mode == "bn_train":
        moving = {reference_name(variable): variable.numpy() for variable in subject.model.variables}
        for name in train["moving_average_tensors"]:
            subject.check(f"moving_after_1_step:{name}", moving[name])
        means = [moving[name].mean() for name in train["moving_average_variables"]]
        subject.check("moving_average_means_after_1_step", means)


def test_momentum_steps(subject):
    subject.restart()
    step = subject.step()
    reports = []
    run = tf.function(tf.autograph.experimental.do_not_convert(step))
    for _ in range(subject.train["num_steps"]):
        reports.append(run(tf.constant(subject.images), tf.constant(subject.labels)))
    names = subject.train["trainable_variables"]
    norms = [np.linalg.norm(step.variables[name].numpy()) for name in names]
    subject.check("weight_norms_after_steps", norms)
    reports.append(run(tf.constant(subject.images), tf.constant(subject.labels)))
    subject.check("steps_total_loss", [report["loss"] for report in reports])
    subject.check(RATES, [report["learning_rate"] for report in reports])
