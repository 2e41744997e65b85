"""Loss scaling for float16, whose gradients would vanish otherwise. Source: arXiv 1710.03740, section 3.2."""

import tensorflow as tf

REPLICATED = {"aggregation": tf.VariableAggregation.NONE}  # for counters: each replica assigns the same to its own copy
SKIPPED_STEPS = "loss_scale/skipped_steps"  # in a checkpoint
_INITIAL = 2.0**15
_FLOOR = 1.0
_PATIENCE = 2000  # steps with finite gradients before the factor is doubled


class NoScale:
    """Leaves the loss as it is, for float32 and bfloat16, whose range holds every gradient."""

    result_names = ()

    def scale(self, loss):
        return loss

    def unscale(self, gradient):
        return gradient

    def update(self, norm):
        """Returns (None, {}): every step is accepted, and there is nothing to report."""
        return None, {}

    def accepted(self, step):
        return step

    def is_used_up(self, results):
        return False

    def state(self):
        return {}


class LossScale:
    """Multiplies the loss by a factor that keeps gradients in the range of float16.

    A step whose gradients overflow is skipped and halves the factor; many steps without overflow double it. The
    factor does not fall below 1: a smaller one would not help the gradients of a loss that float16 can hold.
    """

    result_names = ("loss_scale", "skipped_steps")

    def __init__(self):
        self.factor = tf.Variable(_INITIAL, trainable=False, **REPLICATED)
        self.good = tf.Variable(0, dtype=tf.int64, trainable=False, **REPLICATED)  # steps since the last change
        self.skipped = tf.Variable(0, dtype=tf.int64, trainable=False, **REPLICATED)

    def scale(self, loss):
        return loss * self.factor

    def unscale(self, gradient):
        return gradient / self.factor

    def update(self, norm):
        """Adapts the factor after a step.

        Args:
          norm: norm of all unscaled gradients, float32 scalar; not finite after an overflow.

        Returns:
          (A bool scalar: whether the optimizer may apply the gradients; {name of `result_names`: float32 scalar}: the
          factor of this step, and the number of steps that were skipped so far.)
        """
        finite = tf.math.is_finite(norm)
        factor, good = tf.identity(self.factor), tf.identity(self.good) + 1
        skipped = tf.identity(self.skipped) + tf.cast(~finite, tf.int64)
        grow = good >= _PATIENCE
        after = tf.where(finite, tf.where(grow, factor * 2, factor), tf.maximum(factor / 2, _FLOOR))
        self.factor.assign(after)
        self.good.assign(tf.where(finite & ~grow, good, tf.zeros_like(good)))
        self.skipped.assign(skipped)
        return finite, dict(zip(self.result_names, (factor, tf.cast(skipped, tf.float32)), strict=True))

    def accepted(self, step):
        """Returns how many of the first `step` steps changed the weights, an int64 scalar."""
        return step - tf.identity(self.skipped)

    def is_used_up(self, results):
        """Tells whether the gradients of a step with these results overflowed although the factor was the least one."""
        return (results["loss_scale"] <= _FLOOR) & ~tf.math.is_finite(results["gradient_norm"])

    def state(self):
        return {"loss_scale/factor": self.factor, "loss_scale/good_steps": self.good, SKIPPED_STEPS: self.skipped}
