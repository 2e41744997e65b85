"""Learning rates as functions of the step, in float32 as in the reference."""

import math

import tensorflow as tf

from deeplab.config.options import differences


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


def notes(config, step, before=None):
    """Returns what a user should know about the learning rates to come, a list of lines.

    Args:
      config: the ScheduleConfig.
      step: updates so far.
      before: the ScheduleConfig of these updates, or None if it was the same.
    """
    lines = [_change(before, config, step)] if before and step else []
    if config.learning_policy == "poly" and config.decay_steps and not config.end_learning_rate:
        total, end = config.training_number_of_steps, int(config.slow_start_step + config.decay_steps)
        if end < total:
            lines.append(
                f"The learning rate is 0 after step {end}, so that the weights stay as they are up to step {total}; "
                "--end_learning_rate sets another rate"
            )
    return [line for line in lines if line]


def _change(before, now, step):
    """Returns a line about the rates after `step` if the schedule `now` gives others than `before`, else None."""
    last, expected, rate = (
        float(learning_rate(config, at)) for config, at in ((before, step - 1), (before, step), (now, step))
    )
    if math.isclose(expected, rate, rel_tol=1e-6, abs_tol=1e-12):
        return None
    changed = {name: [f"{value:g}" for value in pair] for name, pair in differences(before, now).items()}
    changes = ", ".join(f"--{name}={new} in place of {old}" for name, (old, new) in changed.items())
    line = f"{changes}: the learning rate goes from {last:.3g} at step {step} to {rate:.3g} at step {step + 1}"
    if now.learning_policy == "poly" and not now.decay_steps:
        total, end = before.training_number_of_steps, before.end_learning_rate
        line += (
            f". --decay_steps={before.decay_steps or _steps_left(before):g} keeps the curve that the training began "
            f"with; it ends with {end:g} at step {total}, and --end_learning_rate holds from there"
        )
    return line


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
