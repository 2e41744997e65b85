"""Loss scaling for float16, whose gradients would vanish otherwise. Source: arXiv 1710.03740, section 3.2."""

import tensorflow as tf

REPLICATED = {
    "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA
}  # for counters: every replica computes the same value
_INITIAL = 2.0**15
_PATIENCE = 2000  # steps with finite gradients before the factor is doubled


class NoScale:
    """Leaves the loss as it is, for float32 and bfloat16, whose range holds every gradient."""

    def scale(self, loss):
        return loss

    def unscale(self, gradient):
        return gradient

    def update(self, norm):
        """Returns None: every step is accepted."""

    def state(self):
        return {}


class LossScale:
    """Multiplies the loss by a factor that keeps gradients in the range of float16.

    A step whose gradients overflow is skipped and halves the factor; many steps without overflow double it.
    """

    def __init__(self):
        self.factor = tf.Variable(_INITIAL, trainable=False, **REPLICATED)
        self.good = tf.Variable(0, dtype=tf.int64, trainable=False, **REPLICATED)  # steps since the last change

    def scale(self, loss):
        return loss * self.factor

    def unscale(self, gradient):
        return gradient / self.factor

    def update(self, norm):
        """Adapts the factor after a step.

        Args:
          norm: norm of all unscaled gradients, float32 scalar; not finite after an overflow.

        Returns:
          A bool scalar: whether the optimizer may apply the gradients.
        """
        finite = tf.math.is_finite(norm)
        factor, good = tf.identity(self.factor), tf.identity(self.good) + 1
        grow = good >= _PATIENCE
        after = tf.where(finite, tf.where(grow, factor * 2, factor), tf.maximum(factor / 2, 1.0))
        self.factor.assign(after)
        self.good.assign(tf.where(finite & ~grow, good, tf.zeros_like(good)))
        return finite

    def state(self):
        return {"loss_scale/factor": self.factor, "loss_scale/good_steps": self.good}
