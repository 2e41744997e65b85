"""Batch normalization in the form that is fastest: on fused kernels, over one replica or over several.

A training on GPUs takes the form of `batch_norm_parts` instead.
The functions equal `tf.compat.v1.nn.fused_batch_norm` of the whole batch, but for rounding.
"""

import math

import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.activations import activated
from deeplab.layers.batch_norm_parts import batch_norm_by_parts, gradient_of_constants
from deeplab.layers.replicas import all_sum, moments_of_all, replicas

_LANES = 16  # channels that oneDNN's kernels work on at once
_LONG = 1024  # values in a row that matrix products sum fast
_SMALL = 400_000  # values; smaller arrays cost about a millisecond, so they keep the original's kernel and its rounding


def batch_norm(x, gamma, beta, epsilon, activation=None, fixed=()):
    """Normalises by the mean and variance of each channel in the whole batch, then activates.

    Replicas hold equal parts of the batch.

    Args:
      x: (B, h, w, C), the part of this replica.
      gamma, beta: (C,), float32.
      epsilon: added to the variance.
      activation: one of `activations.ACTIVATIONS`, or None.
      fixed: as of `batch_norm_by_parts`, and only where that is used.

    Returns:
      (y, mean, unbiased variance); no gradient goes through the last two.
    """
    if hardware.compiles_parts():
        y, mean, variance = batch_norm_by_parts(x, gamma, beta, epsilon, activation, fixed)
    elif replicas() == 1 and _groups(x) == 1:
        y, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=epsilon)
        return activated(y, activation), mean, unbiased
    else:
        y, mean, variance = _by_two_kernels(x, gamma, beta, epsilon)
        y = activated(y, activation)
    values = tf.cast(_values_of_all(x), tf.float32)
    return y, mean, variance * values / tf.maximum(values - 1, 1)


def _values_of_all(x):
    """Returns how many values each channel has in the whole batch, an int32 scalar."""
    return tf.reduce_prod(tf.shape(x)[:3]) * replicas()


def _by_two_kernels(x, gamma, beta, epsilon):
    """Returns (y, mean, variance): statistics by one kernel, over all replicas, and normalisation by another."""
    values = tf.cast(_values_of_all(x), tf.float32)

    @tf.custom_gradient
    def normalise(x, gamma, beta):
        mean, variance = _moments(x, epsilon)

        def gradient(dy, *_of_statistics):
            alone = replicas() == 1  # Then the kernel itself can follow the gradient through mean and variance.
            dx, dgamma, dbeta = _gradient(dy, x, gamma, mean, variance, epsilon, is_training=alone)
            if alone:
                return dx, dgamma, dbeta
            inverse = tf.math.rsqrt(variance + epsilon)
            every_gamma, every_beta = tf.unstack(all_sum(tf.stack([dgamma, dbeta])) * gamma * inverse / values)
            slope = every_gamma * inverse  # through mean and variance: slope * (x - mean) + every_beta
            through = by_statistics(x, slope, every_beta, mean, tf.ones_like(mean) - epsilon, epsilon)
            return dx - through, dgamma, dbeta

        return (by_statistics(x, gamma, beta, mean, variance, epsilon), mean, variance), gradient

    return normalise(x, gamma, beta)


def by_statistics(x, gamma, beta, mean, variance, epsilon):
    """Returns (x - mean) / sqrt(variance + epsilon) * gamma + beta; all but x and epsilon are (C,)."""

    def normalise(x, gamma, beta):
        wide, *channels = _widened(x, gamma, beta, mean, variance)
        y, *_ = tf.compat.v1.nn.fused_batch_norm(wide, *channels, epsilon, is_training=False)
        return y if wide is x else tf.reshape(y, x.shape)

    if not _lacks_gradient_kernel(is_training=False):
        return normalise(x, gamma, beta)

    @tf.custom_gradient
    def with_plain_gradient(x, gamma, beta):
        def gradient(dy):
            return _gradient(dy, x, gamma, mean, variance, epsilon, is_training=False)

        return normalise(x, gamma, beta), gradient

    return with_plain_gradient(x, gamma, beta)


def _moments(x, epsilon):
    """Returns (mean, variance) of each channel over all replicas, float32."""
    own = _own_moments_by_kernel(x, epsilon) if hardware.is_accelerated() else _own_moments(x)
    return moments_of_all(*own)


def _own_moments_by_kernel(x, epsilon):
    """Equals `_own_moments`, by the fused kernel: for accelerators, whose matrix products round their operands."""
    ones = tf.ones(x.shape[-1:])
    _, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(x, ones, tf.zeros_like(ones), epsilon=epsilon)
    values = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
    return mean, unbiased * tf.maximum(values - 1, 1) / values


def _own_moments(x):
    """Returns (mean, variance) of the part of this replica.

    A product with a row of ones sums the cells at the speed of memory. The fused kernel would also normalise them and
    write the result, which nobody needs here.
    """
    channels, cells = x.shape[-1], tf.reduce_prod(tf.shape(x)[:3])
    rows, repeats = _rows(tf.cast(x, tf.float32))
    share = tf.fill((1, tf.shape(rows)[0]), 1.0 / tf.cast(cells, tf.float32))

    def average(rows):
        return tf.reduce_sum(tf.reshape(tf.matmul(share, rows), (-1, channels)), 0)

    mean = average(rows)
    return mean, average(tf.math.squared_difference(rows, tf.tile(mean, [repeats])))


def _rows(x):
    """Returns x with n neighbouring cells in each row, and n: the least power of 2 that makes the rows long enough."""
    cells, repeats = x.shape[:-1].num_elements(), 1
    while cells and cells % (2 * repeats) == 0 and repeats * x.shape[-1] < _LONG:
        repeats *= 2
    return tf.reshape(x, (-1, repeats * x.shape[-1])), repeats


def _gradient(dy, x, gamma, mean, variance, epsilon, is_training):
    """Returns the gradients by (x, gamma, beta). Without `is_training` mean and variance count as constants."""
    if _lacks_gradient_kernel(is_training):
        return gradient_of_constants(dy, x, gamma, mean, variance, epsilon=epsilon)
    statistics = {"reserve_space_1": mean, "reserve_space_2": variance, "reserve_space_3": tf.zeros([0])}
    gradients = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=dy, x=x, scale=gamma, **statistics, epsilon=epsilon, is_training=is_training
    )
    return gradients[:3]


def _lacks_gradient_kernel(is_training):
    """Tells whether GPUs lack a good gradient kernel: with constant statistics theirs is not deterministic."""
    deterministic = hardware.is_accelerated() and hardware.is_deterministic()
    return not is_training and (hardware.compiles_parts() or deterministic)


def _widened(x, *of_channels):
    """Takes n neighbouring cells of x as one cell with n times the channels, where that makes the kernel faster.

    Returns:
      (x as (1, 1, cells / n, n * C) or as it is, and the (C,) tensors n times in a row).
    """
    groups = _groups(x)
    if groups == 1:
        return x, *of_channels
    return tf.reshape(x, (1, 1, -1, groups * x.shape[-1])), *(tf.tile(one, [groups]) for one in of_channels)


def _groups(x):
    """Returns how many cells `_widened` takes as one.

    On CPUs the forward kernel is 3 to 6 times slower unless the channels are a multiple of 16. MobileNets have 24 and
    72 channels, Xception 728. The gradient kernel is not affected.
    """
    groups, cells = _LANES // math.gcd(_LANES, x.shape[-1]), x.shape[:-1].num_elements()
    if cells is None or cells % groups or cells * x.shape[-1] < _SMALL or hardware.is_accelerated():
        return 1
    return groups
