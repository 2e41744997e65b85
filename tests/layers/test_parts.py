"""Parts of the training step that XLA compiles on GPUs: equal to TensorFlow's own operations, with their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.activations import ACTIVATIONS, activated
from deeplab.layers.batch_norm_parts import batch_norm_by_parts, gradient_of_constants
from deeplab.layers.depthwise_parts import depthwise_by_parts
from helpers import tiny_training as tiny

RNG = np.random.default_rng()


@pytest.fixture(autouse=True)
def _same_numbers_in_every_order(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(0))


@pytest.fixture(params=[pytest.param(False, id="plain"), pytest.param(True, id="compiled", marks=pytest.mark.slow)])
def parts(request, monkeypatch):
    """As on a CPU, where the functions run as they are, and as on a GPU, where XLA compiles them."""
    monkeypatch.setattr(hardware, "is_accelerated", lambda: request.param)


def results(function, *inputs):
    """Returns the outputs of a function and the gradients of a weighted sum of the first output by its inputs."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.nest.flatten(function(*inputs))
        weights = tf.reshape(tf.sin(tf.range(tf.size(outputs[0]), dtype=tf.float32)), tf.shape(outputs[0]))
        total = tf.reduce_sum(tf.cast(outputs[0], tf.float32) * weights)
    return [*outputs, *tape.gradient(total, inputs)]


def assert_close(found, expected, atol):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(tf.cast(one, tf.float32), tf.cast(other, tf.float32), rtol=1e-5, atol=atol)


@pytest.mark.parametrize(
    ("size", "taps", "stride", "rate", "padding"),
    [
        ((9, 7), (3, 3), 1, (1, 1), "SAME"),
        ((9, 7), (3, 3), 1, (2, 3), "SAME"),
        ((9, 7), (3, 1), 1, (6, 1), "SAME"),
        ((9, 8), (3, 3), 2, (1, 1), "SAME"),
        ((11, 10), (3, 3), 2, (1, 1), "VALID"),
        ((9, 9), (5, 5), 1, (1, 1), "SAME"),
        ((8, 9), (5, 5), 2, (1, 1), "SAME"),
    ],
)
def test_both_forms_are_depthwise_convolutions(parts, size, taps, stride, rate, padding):
    x, kernel = tf.constant(RNG.normal(size=(2, *size, 3)), tf.float32), RNG.normal(size=(*taps, 3, 1))
    inputs = x, tf.constant(kernel, tf.float32)
    found = results(lambda *pair: depthwise_by_parts(*pair, stride, rate, padding), *inputs)
    strides = [1, stride, stride, 1]
    expected = results(lambda *pair: tf.nn.depthwise_conv2d(*pair, strides, padding, dilations=rate), *inputs)
    assert_close(found, expected, 2e-5)


@pytest.mark.parametrize("name", [None, *ACTIVATIONS])
@pytest.mark.parametrize("stride", [1, 2])
def test_activations_before_and_after_are_part_of_it(parts, name, stride):
    x, kernel = (tf.constant(RNG.normal(0, 4, size), tf.float32) for size in ((2, 6, 5, 3), (3, 3, 3, 1)))
    gamma, beta = (tf.constant(RNG.normal(0, 4, 3), tf.float32) for _ in range(2))

    def plainly(x, kernel, gamma, beta):
        y = tf.nn.depthwise_conv2d(activated(x, name), kernel, [1, stride, stride, 1], "SAME")
        return activated(tf.compat.v1.nn.fused_batch_norm(y, gamma, beta, epsilon=1e-3)[0], name)

    def by_parts(x, kernel, gamma, beta):
        y = depthwise_by_parts(x, kernel, stride, (1, 1), "SAME", name)
        return batch_norm_by_parts(y, gamma, beta, 1e-3, name)[0]

    inputs = x, kernel, gamma, beta
    assert_close(results(by_parts, *inputs), results(plainly, *inputs), 1e-3)


def test_a_depthwise_convolution_keeps_the_type(parts):
    x, kernel = tf.ones((1, 5, 5, 2), tf.bfloat16), tf.ones((3, 3, 2, 1), tf.bfloat16)
    y, dx, dkernel = results(lambda *pair: depthwise_by_parts(*pair, 1, (1, 1), "SAME"), x, kernel)
    assert y.dtype == dx.dtype == dkernel.dtype == tf.bfloat16
    assert y[0, 2, 2, 0] == 9


@pytest.mark.parametrize("mean", [0.0, 300.0])  # 300: a one-pass variance without a shift would lose it
def test_batch_norm_by_parts_is_the_fused_kernel(parts, mean):
    x, gamma, beta = RNG.normal(mean, 0.5, (2, 9, 7, 3)), RNG.normal(1, 0.1, 3), RNG.normal(0, 0.1, 3)
    inputs = [tf.constant(value, tf.float32) for value in (x, gamma, beta)]
    found = results(lambda *three: batch_norm_by_parts(*three, epsilon=1e-3), *inputs)
    expected = results(lambda *three: tf.compat.v1.nn.fused_batch_norm(*three, epsilon=1e-3), *inputs)
    cells = x.size / 3
    expected[2] *= (cells - 1) / cells
    assert_close(found, expected, 5e-4 if mean else 2e-5)  # Eigen's mean of 126 values about 300 is off by 1e-4


@pytest.mark.parametrize("frozen", [False, True])
def test_statistics_are_fixed_on_a_condition(parts, frozen):
    inputs = [tf.constant(RNG.normal(size=size), tf.float32) for size in ((2, 5, 4, 3), 3, 3)]
    fixed = tf.constant(frozen), tf.constant([0.1, 0.2, 0.3]), tf.constant([1.0, 0.5, 2.0])

    def by_averages(x, gamma, beta):
        y = (x - fixed[1]) * tf.math.rsqrt(fixed[2] + 1e-3) * gamma + beta
        return tf.nn.relu(y), *fixed[1:]

    expected = by_averages if frozen else lambda *three: batch_norm_by_parts(*three, 1e-3, "relu")
    found = results(lambda *three: batch_norm_by_parts(*three, 1e-3, "relu", fixed), *inputs)
    assert_close(found, results(expected, *inputs), 1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_replicas_normalise_by_the_whole_batch(parts, frozen):
    x, gamma, beta = (tf.constant(RNG.normal(size=size), tf.float32) for size in ((4, 5, 4, 3), 3, 3))
    fixed = tf.constant(frozen), tf.constant([0.1, 0.2, 0.3]), tf.constant([1.0, 0.5, 2.0])
    slopes = tf.sin(x)

    def compute(x, slopes):
        with tf.GradientTape() as tape:
            tape.watch([x, gamma, beta])
            y, mean, variance = batch_norm_by_parts(x, gamma, beta, 1e-3, "relu", fixed)
        return y, *tape.gradient(y, [x, gamma, beta], output_gradients=slopes), mean, variance

    strategy = tiny.two_replicas()
    halves = [
        strategy.experimental_distribute_values_from_function(
            lambda one, of=of: tf.split(of, 2)[one.replica_id_in_sync_group]
        )
        for of in (x, slopes)
    ]
    run = tf.function(lambda *halves: strategy.run(compute, halves), autograph=False)
    found = [strategy.experimental_local_results(value) for value in run(*halves)]
    y, dx, dgamma, dbeta, mean, variance = found
    whole = [tf.concat(y, 0), tf.concat(dx, 0), sum(dgamma), sum(dbeta), mean[1], variance[0]]
    assert_close(whole, compute(x, slopes), 2e-5)


def test_the_gradient_with_constant_statistics(parts):
    x, gamma, beta = (tf.constant(RNG.normal(size=size), tf.float32) for size in ((2, 5, 4, 3), 3, 3))
    mean, variance, weights = tf.constant([0.1, 0.2, 0.3]), tf.constant([1.0, 0.5, 2.0]), tf.sin(x)
    with tf.GradientTape() as tape:
        tape.watch([x, gamma, beta])
        y = (x - mean) * tf.math.rsqrt(variance + 1e-3) * gamma + beta
    expected = tape.gradient(y, [x, gamma, beta], output_gradients=weights)
    assert_close(gradient_of_constants(weights, x, gamma, mean, variance, epsilon=1e-3), expected, 1e-5)
