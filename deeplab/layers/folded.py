"""Convolutions with bias, for inference only: what a convolution, the batch norm and the activation after it become."""

import contextlib
import contextvars
import json

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab.layers.activations import activated
from deeplab.layers.basic import DepthwiseConv, SeparableConv
from deeplab.layers.fast_convolution import inference_conv2d, inference_depthwise_conv2d

_DILATED = contextvars.ContextVar("dilated", default=False)


@contextlib.contextmanager
def dilated_ops():
    """Atrous depthwise convolutions of `Folded` layers that are traced inside become one op each, with dilations.

    This is for the files of other engines, which run such an op on every processor. TensorFlow does not: GPUs and
    processors without oneDNN have no kernel for it, so it must not be in a graph that TensorFlow runs.
    """
    token = _DILATED.set(True)
    try:
        yield
    finally:
        _DILATED.reset(token)


@keras.utils.register_keras_serializable("deeplab")
class Folded(keras.layers.Layer):
    """A plain, depthwise or separable convolution with bias and activation.

    It takes stride, rate and padding from another layer.

    Args:
      layer: the `Conv`, `DepthwiseConv` or `SeparableConv` that is replaced.
      scale: what its output channels are multiplied by, an array or 1.
      shift: the bias that is added afterwards, an array or 0; None for no bias.
      activation: one of `activations.ACTIVATIONS`, which is computed last, or None.
    """

    def __init__(self, layer, scale, shift, activation=None, **kwargs):
        super().__init__(**kwargs)
        self._replaced = json.dumps(keras.utils.serialize_keras_object(layer))
        self.before, self.activation = getattr(layer, "before", None), activation
        self.rate, self.stride = layer.rate, layer.stride
        self.padded, self.compute_output_shape = layer.padded, layer.compute_output_shape
        kernel = np.asarray(layer.kernel, np.float64)
        self.spatial = self.plain = None  # the depthwise kernel, and the kernel over all channels
        if isinstance(layer, SeparableConv):
            self.spatial = self._constant("depthwise_weights", kernel)
            self.plain = self._constant("pointwise_weights", np.asarray(layer.pointwise, np.float64) * scale)
        elif isinstance(layer, DepthwiseConv):
            self.spatial = self._constant("depthwise_weights", kernel * np.reshape(scale, (-1, 1)))
        else:
            self.plain = self._constant("weights", kernel * scale)
        channels = kernel.shape[-2] if self.plain is None else self.plain.shape[-1]
        self.bias = None if shift is None else self._constant("biases", np.broadcast_to(shift, (channels,)))

    def get_config(self):
        kernel = self.plain if self.spatial is None else self.spatial
        own = {"channels": kernel.shape[2], "has_bias": self.bias is not None, "activation": self.activation}
        return {**super().get_config(), **own, "layer": json.loads(self._replaced)}

    @classmethod
    def from_config(cls, config):
        """Returns a layer of the same shapes, whose weights are still to be loaded."""
        config = dict(config)
        layer = keras.utils.deserialize_keras_object(config.pop("layer"))
        shape = (None, None, None, config.pop("channels"))
        if not layer.built:  # Keras 3 builds it already
            layer.build(shape)
        return cls(layer, 1.0, 0.0 if config.pop("has_bias") else None, **config)

    def _constant(self, name, values):
        """Returns a weight in the type of the activations."""
        weight = self.add_weight(
            name=name, shape=values.shape, initializer="zeros", dtype=self.compute_dtype, trainable=False
        )
        weight.assign(values.astype(np.float32))
        return weight

    def call(self, x):
        if self.plain is None:
            return self._depthwise(x, self._finished)
        kernel = tf.convert_to_tensor(self.plain)
        if self.spatial is not None:
            x = tf.nn.conv2d(self._depthwise(x, lambda y: y), kernel, strides=1, padding="SAME")
        else:
            x, padding = self.padded(x)
            x = inference_conv2d(x, kernel, self.stride, self.rate, padding)
        return self._finished(x)

    def _finished(self, x):
        """Adds the bias to what the convolution gives, and activates it."""
        return activated(
            x if self.bias is None else tf.nn.bias_add(x, tf.convert_to_tensor(self.bias)), self.activation
        )

    def _depthwise(self, x, then):
        """Returns `then` of the depthwise convolution of x; see `inference_depthwise_conv2d`."""
        x, padding = self.padded(activated(x, self.before))
        kernel = tf.convert_to_tensor(self.spatial)
        return inference_depthwise_conv2d(x, kernel, self.stride, self.rate, padding, then, _DILATED.get())
