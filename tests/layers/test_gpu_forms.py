"""Forms that only GPUs and XLA take, run on a CPU: they equal the operations in whose place they stand."""

import zlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab.layers import fast_batch_norm, pooling
from deeplab.layers.resize import resize_labels, resize_nearest
from deeplab.layers.stochastic import Dropout
from helpers import gpu_graphs

RNG = np.random.default_rng(0)


def gradients(function, *arguments, slopes):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        y = function(*arguments)
    return y, *tape.gradient(y, arguments, slopes)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("sides", [(9, 10), (8, 7), (5, 5)])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (1, 2)])
def test_the_composed_gradient_of_max_pooling_is_the_kernels(size, stride, sides, dtype):
    x = tf.cast(RNG.integers(-4, 0, (2, *sides, 3)), dtype)  # few values: many windows have several maxima
    slopes = tf.cast(RNG.integers(-9, 9, (2, *(-(-side // stride) for side in sides), 3)), dtype)
    expected = gradients(lambda x: tf.nn.max_pool2d(x, size, stride, "SAME"), x, slopes=slopes)
    with gpu_graphs.tracing(deterministic=True, compiled=True):
        found = gradients(lambda x: pooling.max_pool(x, size, stride), x, slopes=slopes)
        graph = gpu_graphs.trace(lambda x: gradients(lambda x: pooling.max_pool(x, size, stride), x, slopes=slopes), x)
    assert gpu_graphs.refused(graph, compiled=True) == []
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_plain_gradient_of_frozen_norms_is_the_kernels(dtype):
    x, slopes = (tf.cast(RNG.normal(size=(2, 5, 7, 16)), dtype) for _ in range(2))
    gamma, beta, mean, variance = (tf.constant(RNG.uniform(0.5, 2, 16), tf.float32) for _ in range(4))

    def norm(x, gamma, beta):
        return fast_batch_norm.by_statistics(x, gamma, beta, mean, variance, 1e-3)

    expected = gradients(norm, x, gamma, beta, slopes=slopes)
    with gpu_graphs.tracing(deterministic=True):
        found = gradients(norm, x, gamma, beta, slopes=slopes)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        tolerance = 1e-5 if dtype == "float32" else 2e-2
        np.testing.assert_allclose(*(tf.cast(one, tf.float32) for one in (ours, theirs)), tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_are_resized_like_any_tensor(dtype):
    labels = tf.constant(RNG.integers(0, 256, (2, 5, 7)).astype(dtype))
    resized = resize_labels(labels, (9, 4))
    assert resized.dtype == dtype
    np.testing.assert_array_equal(resized, resize_nearest(labels[..., None], (9, 4))[..., 0])


@pytest.mark.parametrize("draws", [0, 1, 2**31 - 1])
def test_draws_in_int64_are_those_of_int32(draws):
    """Trainings whose checkpoints hold int32 draws go on with the same random numbers."""
    layer = Dropout(0.5, name="a.dropout")
    layer.build((None, 4, 4, 8))
    assert layer.draws.dtype == "int64"
    layer.draws.assign(np.int32(draws))
    found = layer.draw(tf.constant([2, 4, 4, 8]))
    key = zlib.crc32(b"a.dropout") >> 1
    np.testing.assert_array_equal(found, tf.random.stateless_uniform((2, 4, 4, 8), tf.constant([key, draws], tf.int32)))
    assert int(layer.draws.numpy()) == draws + 1
