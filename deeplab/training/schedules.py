"""Learning rates as functions of the step, in float32 as in the reference."""

import math

import tensorflow as tf


def learning_rate(config, step):
    """Returns the learning rate, a float32 scalar; usable inside a tf.function.

    While `step < slow_start_step` the rate is `slow_start_learning_rate`, or rises linearly from there to the base
    rate. The policy starts after that.

    Args:
      config: a ScheduleConfig.
      step: updates so far, int64 scalar.
    """
    step = tf.cast(step, tf.float32)
    slow = float(config.slow_start_step)
    rate = _POLICIES[config.learning_policy](config, tf.maximum(step - slow, 0.0))
    if not config.slow_start_step:
        return rate
    start = config.slow_start_learning_rate
    if config.slow_start_burnin_type == "linear":
        start += (config.base_learning_rate - start) * step / slow
    return tf.where(step < slow, start, rate)


def _steps_left(config):
    return float(config.training_number_of_steps - config.slow_start_step)


def _poly(config, step):
    decay_steps = config.decay_steps or _steps_left(config)
    end = config.end_learning_rate
    done = tf.minimum(step, decay_steps) / decay_steps
    return (config.base_learning_rate - end) * tf.pow(1.0 - done, config.learning_power) + end


def _step(config, step):
    drops = tf.floor(step / float(config.learning_rate_decay_step))
    return config.base_learning_rate * tf.pow(config.learning_rate_decay_factor, drops)


def _cosine(config, step):
    steps = _steps_left(config)
    return config.base_learning_rate * 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(step, steps) / steps))


def _piecewise(config, step):
    """`learning_rate_values[i]` up to and including step `learning_rate_boundaries[i]`, then the last value."""
    passed = tf.cast(step > tf.constant(config.learning_rate_boundaries, tf.float32), tf.int32)
    return tf.gather(tf.constant(config.learning_rate_values, tf.float32), tf.reduce_sum(passed))


_POLICIES = {"poly": _poly, "step": _step, "cosine": _cosine, "piecewise": _piecewise}
