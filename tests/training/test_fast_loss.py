"""The loss in strips: equal to its definition in value and gradient, and taken only where it is defined and faster."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.optimization import LossConfig
from deeplab.layers import hardware
from deeplab.training import fast_loss, losses

CLASSES, IGNORE = 5, 255


def arrays(batch, cells, pixels, scale=3.0):
    """Returns logits, and labels of which some are ignored and some are no class."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(batch, *cells, CLASSES)) * scale
    labels = rng.choice([*range(CLASSES), CLASSES + 2, IGNORE], size=(batch, *pixels))
    return tf.constant(logits, tf.float32), tf.constant(labels, tf.uint8)


def loss_and_gradient(objective, logits, labels):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = 3.0 * objective({"": logits}, labels, tf.constant(0, tf.int64))[""]
    return loss, tape.gradient(loss, logits)


def assert_equals_definition(monkeypatch, objective, logits, labels):
    found = loss_and_gradient(objective, logits, labels)
    monkeypatch.setattr(fast_loss, "applies", lambda *_: False)
    expected = loss_and_gradient(objective, logits, labels)
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-6)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-6 * np.abs(expected[1]).max())


@pytest.mark.parametrize("rows_in_a_strip", [1, 5, 100])
@pytest.mark.parametrize(
    ("batch", "cells", "pixels"),
    [(2, (5, 4), (17, 13)), (6, (3, 3), (9, 9)), (1, (1, 1), (4, 3)), (1, (4, 5), (4, 5)), (2, (9, 7), (4, 6))],
    ids=str,
)
def test_strips_have_the_loss_and_gradient_of_the_definition(monkeypatch, batch, cells, pixels, rows_in_a_strip):
    monkeypatch.setattr(fast_loss, "_STRIP", rows_in_a_strip * CLASSES * pixels[1])
    objective = losses.Objective(LossConfig(), IGNORE)
    assert_equals_definition(monkeypatch, objective, *arrays(batch, cells, pixels))


@pytest.mark.parametrize("weights", [None, 0.5, (0.0, 1.0, 10.0, 0.3, 2.0)], ids=str)
@pytest.mark.parametrize("ignored", [IGNORE, 0])
def test_weights_and_an_ignored_class(monkeypatch, weights, ignored):
    objective = losses.Objective(LossConfig(), ignored, weights)
    assert_equals_definition(monkeypatch, objective, *arrays(2, (5, 4), (17, 13)))


def test_logits_that_differ_by_hundreds(monkeypatch):
    objective = losses.Objective(LossConfig(), IGNORE)
    assert_equals_definition(monkeypatch, objective, *arrays(1, (5, 4), (17, 13), scale=400.0))


def test_a_batch_without_a_pixel_that_counts_costs_nothing():
    logits, labels = arrays(1, (3, 3), (9, 9))
    loss, gradient = loss_and_gradient(losses.Objective(LossConfig(), IGNORE), logits, tf.fill(labels.shape, IGNORE))
    assert float(loss) == 0
    assert not np.any(gradient)


def test_other_losses_and_machines_keep_the_definition(monkeypatch):
    shapes = arrays(1, (3, 3), (9, 9))
    assert fast_loss.applies(LossConfig(), *shapes)
    for change in (
        {"loss": "focal"},
        {"label_smoothing": 0.1},
        {"top_k_percent_pixels": 0.5},
        {"region_loss": "dice"},
        {"upsample_logits": False},
    ):
        assert not fast_loss.applies(dataclasses.replace(LossConfig(), **change), *shapes), change
    with hardware.compiled():
        assert not fast_loss.applies(LossConfig(), *shapes)
    monkeypatch.setattr(hardware, "is_accelerated", lambda: True)
    assert not fast_loss.applies(LossConfig(), *shapes)


def test_a_batch_of_unknown_size_keeps_the_definition():
    @tf.function(input_signature=[tf.TensorSpec((None, 3, 3, CLASSES)), tf.TensorSpec((None, 9, 9), tf.uint8)])
    def loss(logits, labels):
        return losses.Objective(LossConfig(), IGNORE)({"": logits}, labels, 0)[""]

    assert np.isfinite(loss(*arrays(2, (3, 3), (9, 9))))
