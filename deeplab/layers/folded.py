"""Convolutions with bias, for inference only: what a convolution and the batch norm after it become."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab.layers.activations import activated
from deeplab.layers.basic import DepthwiseConv, SeparableConv
from deeplab.layers.fast_convolution import (
    NATIVE_RATE,
    has_dilated_kernel,
    inference_conv2d,
    inference_depthwise_conv2d,
)

EVERY_RATE = 10**6  # a native_rate for engines that run a dilated depthwise convolution of any rate


def fastest_native_rate(precision):
    """Returns the `native_rate` with which a `Folded` layer of a precision runs fastest on this processor."""
    return NATIVE_RATE[precision] if runs_dilated(precision) else 1


def runs_dilated(precision):
    """Tells whether this processor runs a dilated depthwise convolution of a precision as one op."""
    return has_dilated_kernel(precision)


class Folded(keras.layers.Layer):
    """A plain, depthwise or separable convolution with bias. It takes stride, rate and padding from another layer.

    Args:
      layer: the `Conv`, `DepthwiseConv` or `SeparableConv` that is replaced.
      scale: what its output channels are multiplied by, an array or 1.
      shift: the bias that is added afterwards, an array or 0.
      native_rate: depthwise convolutions with a rate up to this one become one dilated op; those with a larger rate
        become a dense op between SpaceToBatch and BatchToSpace.
    """

    def __init__(self, layer, scale, shift, native_rate, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.stride, self.native_rate = layer.rate, layer.stride, native_rate
        self.before = getattr(layer, "before", None)
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
        self.bias = self._constant("biases", np.broadcast_to(shift, (channels,)))

    def _constant(self, name, values):
        """Returns a weight in the type of the activations."""
        weight = self.add_weight(
            name=name, shape=values.shape, initializer="zeros", dtype=self.compute_dtype, trainable=False
        )
        weight.assign(values.astype(np.float32))
        return weight

    def call(self, x):
        bias = tf.convert_to_tensor(self.bias)
        if self.plain is None:
            return self._depthwise(x, lambda y: tf.nn.bias_add(y, bias))
        kernel = tf.convert_to_tensor(self.plain)
        if self.spatial is not None:
            x = tf.nn.conv2d(self._depthwise(x, lambda y: y), kernel, strides=1, padding="SAME")
        else:
            x, padding = self.padded(x)
            x = inference_conv2d(x, kernel, self.stride, self.rate, padding)
        return tf.nn.bias_add(x, bias)

    def _depthwise(self, x, then):
        """Returns `then` of the depthwise convolution of x; see `inference_depthwise_conv2d`."""
        x, padding = self.padded(activated(x, self.before))
        kernel = tf.convert_to_tensor(self.spatial)
        return inference_depthwise_conv2d(x, kernel, self.stride, self.rate, padding, self.native_rate, then)
