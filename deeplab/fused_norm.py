"""Batch normalization on TensorFlow's fused kernels: of one array, or of one that several replicas hold parts of."""

import math

import tensorflow as tf

from deeplab.runtime import all_sum, replicas

_LANES = 16  # channels that oneDNN's kernels work on at once
_SMALL = 400_000  # values; smaller arrays cost about a millisecond, and keep the roundings of the original's kernel


def batch_norm(x, gamma, beta, epsilon):
    """Normalises by the mean and variance of each channel in the whole batch, which replicas hold equal parts of.

    Args:
      x: (B, h, w, C), this replica's part.
      gamma, beta: (C,), float32.
      epsilon: added to the variance.

    Returns:
      (y, mean, unbiased variance); no gradient goes through the last two.
    """
    if replicas() == 1 and _groups(x) == 1:
        return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=epsilon)
    values = tf.cast(tf.reduce_prod(tf.shape(x)[:3]) * replicas(), tf.float32)

    @tf.custom_gradient
    def normalise(x, gamma, beta):
        mean, variance = _moments(x, epsilon)

        def gradient(dy, *_of_statistics):
            dx, dgamma, dbeta = _gradient_by_constants(dy, x, gamma, mean, variance, epsilon)
            inverse = tf.math.rsqrt(variance + epsilon)
            every_gamma, every_beta = tf.unstack(all_sum(tf.stack([dgamma, dbeta])) * gamma * inverse / values)
            slope = every_gamma * inverse  # through mean and variance: slope * (x - mean) + every_beta
            through = by_statistics(x, slope, every_beta, mean, tf.ones_like(mean) - epsilon, epsilon)
            return dx - through, dgamma, dbeta

        return (by_statistics(x, gamma, beta, mean, variance, epsilon), mean, variance), gradient

    y, mean, variance = normalise(x, gamma, beta)
    return y, mean, variance * values / tf.maximum(values - 1, 1)


def by_statistics(x, gamma, beta, mean, variance, epsilon):
    """Returns (x - mean) / sqrt(variance + epsilon) * gamma + beta; all but x and epsilon are (C,)."""
    wide, gamma, beta, mean, variance = _widened(x, gamma, beta, mean, variance)
    y, *_ = tf.compat.v1.nn.fused_batch_norm(wide, gamma, beta, mean, variance, epsilon, is_training=False)
    return y if wide is x else tf.reshape(y, x.shape)


def _moments(x, epsilon):
    """Returns (mean, variance) of each channel over all replicas, float32; the kernel is faster than tf.nn.moments."""
    ones = tf.ones(x.shape[-1:])
    wide, ones, zeros = _widened(x, ones, tf.zeros_like(ones))
    _, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(wide, ones, zeros, epsilon=epsilon)
    values = tf.cast(tf.reduce_prod(tf.shape(wide)[:3]), tf.float32)
    parts = [-1, x.shape[-1]]
    means, variances = tf.reshape(mean, parts), tf.reshape(unbiased * tf.maximum(values - 1, 1) / values, parts)
    mean = tf.reduce_mean(means, 0)
    within = tf.reduce_mean(variances + tf.square(means - mean), 0)
    if replicas() == 1:
        return mean, within
    mean, within, square = tf.unstack(all_sum(tf.stack([mean, within, tf.square(mean)])) / replicas())
    return mean, within + tf.maximum(square - tf.square(mean), 0)


def _gradient_by_constants(dy, x, gamma, mean, variance, epsilon):
    """Returns the gradients of a batch norm by (x, gamma, beta), as if mean and variance did not depend on x."""
    wide, gamma, mean, variance = _widened(x, gamma, mean, variance)
    statistics = {"reserve_space_1": mean, "reserve_space_2": variance, "reserve_space_3": tf.zeros([0])}
    dx, *of_channels, _, _ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=dy if wide is x else tf.reshape(dy, wide.shape),
        x=wide,
        scale=gamma,
        **statistics,
        epsilon=epsilon,
        is_training=False,
    )
    dx = dx if wide is x else tf.reshape(dx, x.shape)
    return dx, *(tf.reduce_sum(tf.reshape(one, [-1, x.shape[-1]]), 0) for one in of_channels)


def _widened(x, *of_channels):
    """Takes several neighbouring cells of x as one that has as many times the channels, where kernels like that more.

    Returns:
      (x as (1, 1, cells / n, n * C) or as it is, and the (C,) tensors n times in a row).
    """
    groups = _groups(x)
    if groups == 1:
        return x, *of_channels
    return tf.reshape(x, (1, 1, -1, groups * x.shape[-1])), *(tf.tile(one, [groups]) for one in of_channels)


def _groups(x):
    """Returns how many cells `_widened` takes as one.

    On CPUs, where channels are no multiple of 16 (24 and 72 of the MobileNets, 728 of Xception), oneDNN falls back to a
    kernel that takes 3 to 6 times as long.
    """
    groups, cells = _LANES // math.gcd(_LANES, x.shape[-1]), x.shape[:-1].num_elements()
    if cells is None or cells % groups or cells * x.shape[-1] < _SMALL:
        return 1
    accelerated = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU")
    return 1 if accelerated else groups
