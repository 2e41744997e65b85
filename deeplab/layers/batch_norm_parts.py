"""Batch normalization in parts that XLA compiles, for the training step on GPUs.

cuDNN has no fast kernel for channels that come last in float32, and in bfloat16 TensorFlow does not use it unless an
environment variable says so: it transposes every input and output. These functions make three passes over the memory
forward and five backward. The arithmetic is in float32, whatever the type of x is.
"""

import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.activations import activated, slope_times
from deeplab.layers.replicas import all_sum, moments_of_all, replicas


def batch_norm_by_parts(x, gamma, beta, epsilon, activation=None, fixed=()):
    """Normalises by the mean and variance of each channel in the whole batch; replicas hold equal parts of it.

    Args:
      x: (B, h, w, C), the part of this replica.
      gamma, beta: (C,), float32.
      epsilon: added to the variance.
      activation: one of `activations.ACTIVATIONS`, which is applied last, or None.
      fixed: (bool scalar, mean, variance): where the first is True, the other two take the place of the batch's
        statistics, and no gradient goes through them. With () that never happens.

    Returns:
      (y, mean, variance), of which the last two are (C,) float32 over all replicas; no gradient goes through them.
    """
    how = {"epsilon": epsilon, "activation": activation}

    @tf.custom_gradient
    def normalise(x, gamma, beta):
        if replicas() == 1:
            y, mean, variance = _normalise(x, gamma, beta, fixed, **how)
        else:
            mean, variance = _chosen(moments_of_all(*_moments(x)), fixed)
            y = _by_statistics(x, gamma, beta, mean, variance, **how)

        def gradient(dy, *_of_statistics):
            known = (x, gamma, beta, mean, variance)
            if replicas() == 1:
                return _gradient(dy, known, fixed[:1], **how)
            sums = tf.stack(_sums(dy, *known, **how))
            dx = _by_input(dy, known, all_sum(sums) / replicas(), fixed[:1], **how)
            return dx, sums[1] * tf.math.rsqrt(variance + epsilon), sums[0]

        return (y, mean, variance), gradient

    return normalise(x, gamma, beta)


@hardware.part
def gradient_of_constants(dy, x, gamma, mean, variance, *, epsilon):
    """Returns the gradients by (x, gamma, beta) of a norm whose mean and variance are constants."""
    inverse, slopes = tf.math.rsqrt(variance + epsilon), tf.cast(dy, tf.float32)
    total, product = _plain_sums(slopes, x, mean)
    return tf.cast(slopes * (gamma * inverse), x.dtype), product * inverse, total


@hardware.part
def _normalise(x, gamma, beta, fixed, *, epsilon, activation):
    mean, variance = _chosen(_plain_moments(x), fixed)
    normalised = _plain_by_statistics(x, gamma, beta, mean, variance, epsilon)
    return tf.cast(activated(normalised, activation), x.dtype), mean, variance


@hardware.part
def _gradient(dy, known, frozen, *, epsilon, activation):
    x, gamma, _beta, mean, variance = known
    slopes = _before_activation(dy, *known, epsilon, activation)
    sums = _plain_sums(slopes, x, mean)
    dx = _plain_by_input(slopes, x, gamma, mean, variance, _through(sums, frozen), epsilon)
    return dx, sums[1] * tf.math.rsqrt(variance + epsilon), sums[0]


@hardware.part
def _moments(x):
    return _plain_moments(x)


@hardware.part
def _by_statistics(x, gamma, beta, mean, variance, *, epsilon, activation):
    normalised = _plain_by_statistics(x, gamma, beta, mean, variance, epsilon)
    return tf.cast(activated(normalised, activation), x.dtype)


@hardware.part
def _sums(dy, x, gamma, beta, mean, variance, *, epsilon, activation):
    return _plain_sums(_before_activation(dy, x, gamma, beta, mean, variance, epsilon, activation), x, mean)


@hardware.part
def _by_input(dy, known, sums, frozen, *, epsilon, activation):
    x, gamma, _beta, mean, variance = known
    slopes = _before_activation(dy, *known, epsilon, activation)
    return _plain_by_input(slopes, x, gamma, mean, variance, _through(sums, frozen), epsilon)


def _chosen(moments, fixed):
    """Returns the moments of the batch, or those in `fixed` where its first tensor is True."""
    return tuple(tf.where(fixed[0], *pair) for pair in zip(fixed[1:], moments, strict=True)) if fixed else moments


def _through(sums, frozen):
    """Returns the sums that the gradient through mean and variance needs: 0 where the scalar in `frozen` is True."""
    return [tf.where(frozen[0], 0.0, one) for one in (sums[0], sums[1])] if frozen else sums


def _plain_moments(x):
    """Returns (mean, variance) of each channel in one pass, by sums of the differences to the first cell.

    The square of a mean is subtracted from a mean of squares. If the mean were much larger than the deviation, little
    of the variance would be left; the first cell is about as far from the mean as the deviation.
    """
    first = tf.cast(x[0, 0, 0], tf.float32)
    differences = tf.cast(x, tf.float32) - first
    mean, square = (tf.reduce_mean(values, [0, 1, 2]) for values in (differences, tf.square(differences)))
    return first + mean, tf.maximum(square - tf.square(mean), 0)


def _plain_by_statistics(x, gamma, beta, mean, variance, epsilon):
    return (tf.cast(x, tf.float32) - mean) * (gamma * tf.math.rsqrt(variance + epsilon)) + beta


def _before_activation(dy, x, gamma, beta, mean, variance, epsilon, activation):
    """Returns the gradient by the normalised values, float32, of which dy is the gradient after the activation."""
    normalised = _plain_by_statistics(x, gamma, beta, mean, variance, epsilon)
    return slope_times(tf.cast(dy, tf.float32), normalised, activation)


def _plain_sums(slopes, x, mean):
    """Returns the sums of slopes, and of slopes * (x - mean), over the cells: (C,) float32 each."""
    return tf.reduce_sum(slopes, [0, 1, 2]), tf.reduce_sum(slopes * (tf.cast(x, tf.float32) - mean), [0, 1, 2])


def _plain_by_input(slopes, x, gamma, mean, variance, sums, epsilon):
    """Returns the gradient by x, through mean and variance as well; `sums` are those of all replicas / replicas."""
    cells = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
    inverse = tf.math.rsqrt(variance + epsilon)
    through = sums[0] / cells + (tf.cast(x, tf.float32) - mean) * (tf.square(inverse) * sums[1] / cells)
    return tf.cast((slopes - through) * (gamma * inverse), x.dtype)
