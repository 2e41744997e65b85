"""Layers that do something else in training: batch norm, dropout, drop path.

What they draw and count is a pure function of the weights that they keep, so that a resumed training goes on exactly,
and any number of replicas computes what one would.
"""

import zlib

import tensorflow as tf
from tensorflow import keras

from deeplab.layers.fast_batch_norm import batch_norm, by_statistics

_KERAS_3 = hasattr(keras, "ops")  # else tf_keras, under TF_USE_LEGACY_KERAS=1
_FLOAT32 = {"dtype": "float32", "autocast" if _KERAS_3 else "experimental_autocast": False}  # whatever the policy


def _replicated_weight(layer, name, shape, initializer, dtype="float32"):
    """Adds a weight that is not learned and of which every replica computes the same value."""
    first = "only_first_replica" if _KERAS_3 else tf.VariableAggregation.ONLY_FIRST_REPLICA
    settings = {**_FLOAT32, "dtype": dtype, "aggregation": first, "trainable": False}
    return layer.add_weight(name=name, shape=shape, initializer=initializer, **settings)


@keras.utils.register_keras_serializable("deeplab")
class BatchNorm(keras.layers.Layer):
    """Batch normalization on TensorFlow's fused kernel, with the reference's unbiased moving variance.

    Args:
      epsilon: added to the variance.
      decay: of the moving averages, `moving = moving * decay + value * (1 - decay)`.
      warmup: use `min(decay, (1 + n) / (10 + n))` after n updates; the same in the long run.
      frozen: normalise by the moving averages in training too; gamma and beta still learn.

    Under a strategy with several replicas, statistics are those of the global batch.
    """

    def __init__(self, epsilon, decay, warmup=True, frozen=False, **kwargs):
        super().__init__(**kwargs)
        self.epsilon, self.decay, self.warmup, self.frozen = epsilon, decay, warmup, frozen

    def build(self, input_shape):
        shape = tuple(input_shape[-1:])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", **_FLOAT32)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", **_FLOAT32)
        self.moving_mean = _replicated_weight(self, "moving_mean", shape, "zeros")
        self.moving_variance = _replicated_weight(self, "moving_variance", shape, "ones")
        self.update_count = _replicated_weight(self, "updates", (), "zeros")
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


class _Drawing(keras.layers.Layer):
    """A layer whose random numbers depend on its name, the number of the draw and the place in the global batch."""

    def build(self, input_shape):
        self.draws = _replicated_weight(self, "draws", (), "zeros", "int32")
        self.built = True

    def draw(self, shape):
        """Returns uniform numbers in [0, 1) of the shape (B, ...) of this replica, and counts."""
        draws = tf.convert_to_tensor(self.draws)
        replicas = tf.distribute.get_replica_context()
        count = replicas.num_replicas_in_sync if replicas else 1
        first = shape[0] * replicas.replica_id_in_sync_group if count > 1 else 0
        seed = tf.stack([zlib.crc32(self.name.encode()) >> 1, draws])
        uniform = tf.random.stateless_uniform(tf.concat([[shape[0] * count], shape[1:]], axis=0), seed=seed)
        self.draws.assign(draws + 1)
        return tf.slice(uniform, tf.concat([[first], tf.zeros_like(shape[1:])], axis=0), shape)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.utils.register_keras_serializable("deeplab")
class Dropout(_Drawing):
    """Sets the share `rate` of the values to 0 in training, and scales the others up."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        return tf.where(self.draw(tf.shape(x)) >= self.rate, x / (1 - self.rate), tf.zeros_like(x))


@keras.utils.register_keras_serializable("deeplab")
class DropPath(_Drawing):
    """Drops the whole input of some examples in training, and scales that of the others up (NAS cells).

    The probability to keep falls from 1 to `keep_probability` while `progress`, the share of the training that is
    done, goes from 0 to 1; see `set_progress`. Source: reference, nas_cell.
    """

    def __init__(self, keep_probability, **kwargs):
        super().__init__(**kwargs)
        self.keep_probability = keep_probability

    def build(self, input_shape):
        super().build(input_shape)
        self.progress = _replicated_weight(self, "progress", (), "zeros")

    def call(self, x, training=False):
        if not training:
            return x
        keep = 1 - tf.minimum(1.0, tf.convert_to_tensor(self.progress)) * (1 - self.keep_probability)
        kept = self.draw(tf.stack([tf.shape(x)[0], 1, 1, 1])) < keep
        return tf.where(kept, x / tf.cast(keep, x.dtype), tf.zeros_like(x))


def set_progress(model, progress):
    """Tells the drop paths of a model which share of the training is done (a scalar, 0 to 1)."""
    for layer in model.layers:
        if isinstance(layer, DropPath):
            layer.progress.assign(progress)
