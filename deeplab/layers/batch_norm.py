"""Batch normalization with the reference's moving averages."""

import tensorflow as tf
from tensorflow import keras

from deeplab.layers.fast_batch_norm import batch_norm, by_statistics
from deeplab.layers.weights import FLOAT32, replicated_weight


@keras.utils.register_keras_serializable("deeplab")
class BatchNorm(keras.layers.Layer):
    """Batch normalization on TensorFlow's fused kernel, with the reference's unbiased moving variance.

    Args:
      epsilon: added to the variance.
      decay: of the moving averages, `moving = moving * decay + value * (1 - decay)`.
      warmup: use `min(decay, (1 + n) / (10 + n))` after n updates. With a decay of 0.9997 alone, 74 % of the initial
        averages would be left after 1,000 steps; in the long run there is no difference.
      frozen: normalise by the moving averages in training, too; gamma and beta still learn.

    Under a strategy with several replicas the statistics come from the global batch.
    """

    def __init__(self, epsilon, decay, warmup=True, frozen=False, **kwargs):
        super().__init__(**kwargs)
        self.epsilon, self.decay, self.warmup, self.frozen = epsilon, decay, warmup, frozen

    def build(self, input_shape):
        shape = tuple(input_shape[-1:])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", **FLOAT32)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", **FLOAT32)
        self.moving_mean = replicated_weight(self, "moving_mean", shape, "zeros")
        self.moving_variance = replicated_weight(self, "moving_variance", shape, "ones")
        self.update_count = replicated_weight(self, "updates", (), "zeros")
        self.built = True

    def call(self, x, training=False):
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if not training or self.frozen:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return by_statistics(x, gamma, beta, mean, variance, self.epsilon)
        y, mean, variance = batch_norm(x, gamma, beta, self.epsilon)
        self._update(mean, variance)
        return y

    def _update(self, mean, variance):
        updates = tf.convert_to_tensor(self.update_count)
        decay = tf.minimum(self.decay, (1 + updates) / (10 + updates)) if self.warmup else tf.constant(self.decay)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old * decay + tf.stop_gradient(value) * (1 - decay))
        self.update_count.assign(updates + 1)

    def compute_output_shape(self, input_shape):
        return input_shape
