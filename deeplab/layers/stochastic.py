"""Dropout and drop path.

Their random numbers are a pure function of the training's seed and of a counter that they keep as a weight. So a
resumed training goes on exactly, and any number of replicas draws what one device would draw.
"""

import zlib

import tensorflow as tf
from tensorflow import keras

from deeplab.layers.weights import replicated_weight


class _Drawing(keras.layers.Layer):
    """A layer whose random numbers depend on a seed, its name, the number of the draw and the place in the batch.

    Attributes:
      random_seed: an integer; 0 unless `set_random_seed` changes it.
    """

    def __init__(self, random_seed=0, **kwargs):
        super().__init__(**kwargs)
        self.random_seed = random_seed

    def build(self, input_shape):
        # On a GPU, int32 variables are in host memory, where a step that XLA compiled for the GPU cannot reach them.
        self.draws = replicated_weight(self, "draws", (), "zeros", "int64")
        self.built = True

    def draw(self, shape):
        """Returns uniform numbers in [0, 1) of the shape (B, ...) of this replica, and counts the draw."""
        draws = tf.convert_to_tensor(self.draws)  # int64; the seeds 0 to 2^31 - 1 give the same numbers in any type
        replicas = tf.distribute.get_replica_context()
        count = replicas.num_replicas_in_sync if replicas else 1
        first = shape[0] * replicas.replica_id_in_sync_group if count > 1 else 0
        # Seed 0 stands for itself: trainings that began before seeds counted here are resumed exactly.
        key = f"{self.name} {self.random_seed}" if self.random_seed else self.name
        seed = tf.stack([tf.constant(zlib.crc32(key.encode()) >> 1, draws.dtype), draws])
        uniform = tf.random.stateless_uniform(tf.concat([[shape[0] * count], shape[1:]], axis=0), seed=seed)
        self.draws.assign(draws + 1)
        return tf.slice(uniform, tf.concat([[first], tf.zeros_like(shape[1:])], axis=0), shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "random_seed": self.random_seed}


@keras.utils.register_keras_serializable("deeplab")
class Dropout(_Drawing):
    """In training, sets the share `rate` of the values to 0 and scales the other values up."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        return tf.where(self.draw(tf.shape(x)) >= self.rate, x / (1 - self.rate), tf.zeros_like(x))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@keras.utils.register_keras_serializable("deeplab")
class DropPath(_Drawing):
    """In training, drops the whole input of some examples and scales the input of the others up (NAS cells).

    The probability to keep an example falls from 1 to `keep_probability` while `progress`, the finished share of the
    training, rises from 0 to 1; see `set_progress`. Source: reference, nas_cell.
    """

    def __init__(self, keep_probability, **kwargs):
        super().__init__(**kwargs)
        self.keep_probability = keep_probability

    def build(self, input_shape):
        super().build(input_shape)
        self.progress = replicated_weight(self, "progress", (), "zeros")

    def call(self, x, training=False):
        if not training:
            return x
        keep = 1 - tf.minimum(1.0, tf.convert_to_tensor(self.progress)) * (1 - self.keep_probability)
        kept = self.draw(tf.stack([tf.shape(x)[0], 1, 1, 1])) < keep
        return tf.where(kept, x / tf.cast(keep, x.dtype), tf.zeros_like(x))

    def get_config(self):
        return {**super().get_config(), "keep_probability": self.keep_probability}


def set_random_seed(model, seed):
    """Seeds the dropouts and drop paths of a model with an integer; to be called before the model is traced."""
    for layer in model.layers:
        if isinstance(layer, _Drawing):
            layer.random_seed = seed


def set_progress(model, progress):
    """Tells the drop paths of a model which share of the training is finished (a scalar, 0 to 1)."""
    for layer in model.layers:
        if isinstance(layer, DropPath):
            layer.progress.assign(progress)
