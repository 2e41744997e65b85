"""Makes a network for inference only: batch norms are folded into the convolutions before them.

A convolution without bias followed by the batch norm `y = (x - mean) * gamma / sqrt(variance + epsilon) + beta` equals
one convolution whose kernel is multiplied by `gamma / sqrt(variance + epsilon)` and whose bias is
`beta - mean * gamma / sqrt(variance + epsilon)`. TensorFlow computes the convolution, this bias and the activation
after it in one pass. Weights are stored in the type that the network computes in.
"""

import contextlib
import functools

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab.layers.basic import Conv, DepthwiseConv, SeparableConv
from deeplab.layers.batch_norm import BatchNorm
from deeplab.layers.fast_convolution import in_blocks
from deeplab.model.views import layers_of, with_layers

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # -> Keras' policies
# Largest rate at which oneDNN's dilated depthwise kernel beats a dense one between SpaceToBatch and BatchToSpace: it is
# 1.3 to 1.9 times as fast at rates 2 and 6 in float32, and less than half as fast at 12. oneDNN has none for float16.
NATIVE_RATE = {"float32": 6, "bfloat16": 2, "float16": 1}
EVERY_RATE = 10**6  # a native_rate for engines that run a dilated depthwise convolution of any rate
_LOGITS = "logits."  # the names of the last layers begin so


def fold(model, precision="float32", native_rate=None):
    """Returns the same network with batch norms folded. A batch norm that follows no convolution stays.

    Args:
      model: as `build_model` returns it.
      precision: type of weights and activations, one of PRECISIONS. Logits are float32.
      native_rate: depthwise convolutions with a rate up to this one become one dilated op; those with a larger rate
        become a dense op between SpaceToBatch and BatchToSpace. None chooses the fastest that this processor runs.

    Returns:
      A keras.Model, which `inference.Predictor` takes. It can't be trained.
    """
    layers = {name: layer for name, layer in layers_of(model).items() if isinstance(layer, BatchNorm)}
    norms = {_before(norm): norm for norm in layers.values()}
    readers = _readers(model)
    if native_rate is None:
        native_rate = NATIVE_RATE[precision] if has_dilated_kernel(precision) else 1
    with policy(precision):
        for name, layer in layers_of(model).items():
            if isinstance(layer, (Conv, DepthwiseConv)):
                norm = norms.get(layer)
                norm = norm if norm is not None and readers[layer] == {norm} else None
                layers[name] = _folded(layer, norm, native_rate)
                if norm is not None:
                    layers[norm.name] = keras.layers.Activation("linear", name=norm.name)
        return with_layers(model, layers)


@functools.cache
def has_dilated_kernel(precision="float32"):
    """Tells whether TensorFlow can run a dilated depthwise convolution of `precision` on this machine's CPU.

    Only oneDNN has that kernel. TensorFlow turns oneDNN on or off by the processor (AVX-512) and by the environment
    (TF_ENABLE_ONEDNN_OPTS), and oneDNN computes in bfloat16 on some processors only. Running a convolution of a few
    cells answers for all of these at once.
    """
    dtype = tf.as_dtype(precision)
    cells = tf.TensorSpec((1, 5, 5, 1), dtype)  # an argument, since a constant would be folded away by Grappler

    @tf.function(input_signature=[cells], autograph=False)
    def convolve(x):
        return _native(x, tf.ones((3, 3, 1, 1), dtype), 1, "SAME", (2, 2))

    try:
        with tf.device("CPU:0"):
            convolve(tf.ones(cells.shape, dtype))
    except tf.errors.OpError:
        return False
    return True


@contextlib.contextmanager
def policy(precision):
    """Layers that are created inside the `with` compute in `precision`, one of PRECISIONS."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(PRECISIONS[precision])
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _before(layer):
    """Returns the layer whose output `layer` was first called with."""
    return layer._inbound_nodes[0].input_tensors[0]._keras_history[0]


def _readers(model):
    """Returns {layer: the set of layers that take its output}."""
    readers = {}
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                readers.setdefault(tensor._keras_history[0], set()).add(layer)
    return readers


def _folded(layer, norm, native_rate):
    """Returns one layer that computes what `layer` and then the batch norm `norm` (or None) compute in inference."""
    bias = getattr(layer, "bias", None)
    shift = 0.0 if bias is None else np.asarray(bias)
    scale = 1.0
    if norm is not None:
        weights = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in weights)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        shift = beta + (shift - mean) * scale
    # Logits stay in float32, since classes that are nearly equal would get the same number in 16 bits.
    exact = {"dtype": "float32"} if layer.name.startswith(_LOGITS) else {}
    return Folded(layer, scale, shift, native_rate, name=layer.name, **exact)


class Folded(keras.layers.Layer):
    """A plain, depthwise or separable convolution with bias. Stride, rate and padding are those of another layer.

    Args:
      layer: the `Conv`, `DepthwiseConv` or `SeparableConv` that is replaced.
      scale: what its output channels are multiplied by, an array or 1.
      shift: the bias that is added afterwards, an array or 0.
      native_rate: see `fold`.
    """

    def __init__(self, layer, scale, shift, native_rate, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.stride, self.native_rate = layer.rate, layer.stride, native_rate
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
        elif max(self.rate) > 1 and self.compute_dtype == "float16":  # CPUs have no dilated kernel for it
            x = in_blocks(x, self.rate, lambda blocks: tf.nn.conv2d(blocks, kernel, 1, "SAME"))
        else:
            x, padding = self.padded(x)
            x = tf.nn.conv2d(x, kernel, strides=self.stride, padding=padding, dilations=self.rate)
        return tf.nn.bias_add(x, bias)

    def _depthwise(self, x, then):
        """Returns `then` of the depthwise convolution of x.

        `then` must work on each cell for itself. It runs before BatchToSpace, so that TensorFlow can fuse a bias.
        """
        kernel = tf.convert_to_tensor(self.spatial)
        if max(self.rate) > max(1, self.native_rate):
            return in_blocks(x, self.rate, lambda blocks: then(_native(blocks, kernel, 1, "SAME", (1, 1))))
        x, padding = self.padded(x)
        return then(_native(x, kernel, self.stride, padding, self.rate))


def _native(x, kernel, stride, padding, rate):
    """Depthwise convolution in one op. For inference only: on CPUs its gradient is wrong if the rate is above 1."""
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x, filter=kernel, strides=[1, stride, stride, 1], padding=padding, dilations=[1, *rate, 1]
    )
