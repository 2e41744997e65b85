"""Loss scaling for float16, whose gradients would vanish otherwise. Source: arXiv 1710.03740, section 3.2."""

import tensorflow as tf

_REPLICATED = {"aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
_INITIAL = 2.0**15
_PATIENCE = 2000  # steps with finite gradients before the scale is doubled


class NoScale:
    """Scaling by 1, for float32 and bfloat16."""

    def scale(self, loss):
        return loss

    def unscale(self, gradient):
        return gradient

    def update(self, norm):
        """Returns None: every update is accepted."""

    def state(self):
        return {}


class LossScale:
    """Multiplies the loss to keep gradients in float16's range; an overflow skips the step and halves the factor."""

    def __init__(self):
        self.factor = tf.Variable(_INITIAL, trainable=False, **_REPLICATED)
        self.good = tf.Variable(0, dtype=tf.int64, trainable=False, **_REPLICATED)  # steps since the last change

    def scale(self, loss):
        return loss * self.factor

    def unscale(self, gradient):
        return gradient / self.factor

    def update(self, norm):
        """Adapts the factor after a step whose unscaled gradients have `norm`; returns whether to accept the step."""
        finite = tf.math.is_finite(norm)
        factor, good = tf.identity(self.factor), tf.identity(self.good) + 1
        grow = good >= _PATIENCE
        after = tf.where(finite, tf.where(grow, factor * 2, factor), tf.maximum(factor / 2, 1.0))
        self.factor.assign(after)
        self.good.assign(tf.where(finite & ~grow, good, tf.zeros_like(good)))
        return finite

    def state(self):
        return {"loss_scale/factor": self.factor, "loss_scale/good_steps": self.good}
