"""Batch normalization with the reference's moving averages."""

import math

import tensorflow as tf
from tensorflow import keras

from deeplab.layers import hardware
from deeplab.layers.activations import activated
from deeplab.layers.fast_batch_norm import batch_norm, by_statistics
from deeplab.layers.replicas import replicas
from deeplab.layers.weights import FLOAT32, replicated_weight

# Values per channel that the statistics of a batch need at least. One value has no variance, and two values always
# become +1 and -1, whatever they are; after a training on these, evaluation sees other features. Four values, which the
# image pooling of a batch of four images gives, are normalised as in the reference.
FEWEST_VALUES = 4


@keras.utils.register_keras_serializable("deeplab")
class BatchNorm(keras.layers.Layer):
    """Batch normalization with the reference's unbiased moving variance, then an activation.

    Args:
      epsilon: added to the variance.
      decay: of the moving averages, `moving = moving * decay + value * (1 - decay)`.
      warmup: use `min(decay, (1 + n) / (10 + n))` after n updates. With a decay of 0.9997 alone, 74 % of the initial
        averages would be left after 1,000 steps; in the long run there is no difference.
      frozen: normalise by the moving averages in training, too; gamma and beta still learn.
      activation: one of `activations.ACTIVATIONS`, or None. On GPUs it takes no further pass over the memory.

    Under a strategy with several replicas the statistics come from the global batch. Where the whole batch has fewer
    than `FEWEST_VALUES` values per channel (the norm behind image pooling: one for each image), the layer normalises by
    its moving averages, which then stay as they are, as if it were frozen. So does a layer that is not `trainable`, as
    Keras' own batch norm does.

    Attributes:
      cells: (h, w) of the input for which the layer was built; None where they vary.
      frozen_now: None, or a function without arguments that returns a bool scalar tensor. While it is True, the layer
        behaves in training as in inference, and its moving averages stay as they are. See `freeze_while`.
    """

    def __init__(self, epsilon, decay, warmup=True, frozen=False, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.epsilon, self.decay, self.warmup, self.frozen = epsilon, decay, warmup, frozen
        self.frozen_now = None

    def build(self, input_shape):
        shape, self.cells = tuple(input_shape[-1:]), tuple(input_shape[1:-1])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", **FLOAT32)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", **FLOAT32)
        self.moving_mean = replicated_weight(self, "moving_mean", shape, "zeros")
        self.moving_variance = replicated_weight(self, "moving_variance", shape, "ones")
        self.update_count = replicated_weight(self, "updates", (), "zeros")
        self.built = True

    def call(self, x, training=False):
        if not training or self.frozen or not self.trainable or _are_few(x.shape[:-1].num_elements(), replicas()):
            return self._by_averages(x)
        if self.frozen_now is not None:
            return self._by_averages_while_frozen(x, self.frozen_now())
        y, mean, variance = self._by_batch(x)
        self._update(mean, variance)
        return y

    def _by_averages(self, x):
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return activated(by_statistics(x, gamma, beta, mean, variance, self.epsilon), self.activation)

    def _by_batch(self, x, fixed=()):
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return batch_norm(x, gamma, beta, self.epsilon, self.activation, fixed)

    def _by_averages_while_frozen(self, x, frozen):
        """Normalises by the averages where the bool scalar `frozen` is True, else by the batch; one graph does both."""
        averages = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        if hardware.compiles_parts():
            y, mean, variance = self._by_batch(x, fixed=(frozen, *averages))
        elif replicas() == 1:
            y, mean, variance = tf.cond(frozen, lambda: (self._by_averages(x), *averages), lambda: self._by_batch(x))
        else:  # The sums over the replicas that the batch's statistics need may not depend on a condition.
            y, mean, variance = self._by_batch(x)
            y = tf.where(frozen, self._by_averages(x), y)
        self._update(mean, variance, frozen)
        return y

    def _update(self, mean, variance, frozen=None):
        variables = self.moving_mean, self.moving_variance, self.update_count
        old = [tf.convert_to_tensor(variable) for variable in variables]
        values = tf.stop_gradient(mean), tf.stop_gradient(variance)
        moved = _moved(*old, *values, decay=self.decay, warmup=self.warmup)
        for variable, before, after in zip(variables, old, moved, strict=True):
            variable.assign(after if frozen is None else tf.where(frozen, before, after))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        own = ("epsilon", "decay", "warmup", "frozen", "activation")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@hardware.part
def _moved(moving_mean, moving_variance, updates, mean, variance, *, decay, warmup):
    """Returns the moving averages and the number of updates after one more update."""
    decay = tf.minimum(decay, (1 + updates) / (10 + updates)) if warmup else tf.constant(decay)
    pairs = ((moving_mean, mean), (moving_variance, variance))
    return *(old * decay + value * (1 - decay) for old, value in pairs), updates + 1


def _are_few(values, times=1):
    return values is not None and values * times < FEWEST_VALUES


def with_few_values(model, images):
    """Returns the names of the batch norms to which a batch of so many images gives too few values, see `BatchNorm`."""
    norms = [layer for layer in model.layers if isinstance(layer, BatchNorm) and not layer.frozen]
    return [norm.name for norm in norms if None not in norm.cells and _are_few(images * math.prod(norm.cells))]


def freeze_while(model, frozen, is_frozen_part):
    """Freezes some batch norms of a model for a part of the training, see `BatchNorm.frozen_now`.

    Args:
      model: a keras.Model; to be called before it is traced.
      frozen: a function without arguments that returns a bool scalar tensor, or None to freeze no batch norm any more.
      is_frozen_part: a function of a `BatchNorm` that tells whether it is meant.
    """
    for layer in model.layers:
        if isinstance(layer, BatchNorm):
            layer.frozen_now = frozen if is_frozen_part(layer) else None
