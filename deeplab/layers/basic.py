"""Convolutions, activations, pooling and resizing. Weights bear the reference's names (see model/names.py).

Tensors are (B, h, w, C); kernels (k, k, in, out), depthwise kernels (k, k, C, 1).
"""

import tensorflow as tf
from tensorflow import keras

from deeplab.layers.activations import activated
from deeplab.layers.fast_convolution import conv2d, depthwise_conv2d, unfused_sum
from deeplab.layers.resize import dynamic_size, resize_bilinear, same_static_size, scale_dimension
from deeplab.layers.weights import seeded, serialized


@keras.utils.register_keras_serializable("deeplab")
class Activation(keras.layers.Layer):
    """Applies one of `activations.ACTIVATIONS`."""

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def call(self, x):
        return activated(x, self.kind)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@keras.utils.register_keras_serializable("deeplab")
class Normalize(keras.layers.Layer):
    """Scales pixels 0..255 for the backbone: `x * scale - offset`, in float32 whatever the compute type.

    Attributes:
      network: None, or the JSON object that tells which network the layer belongs to, see `model.segmentation_model`.
    """

    def __init__(self, scale, offset, network=None, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset, self.network = scale, tuple(offset), network

    def call(self, images):
        # Subtracting a scalar takes a tenth of the time that subtracting one number per channel takes.
        offset = self.offset[0] if len(set(self.offset)) == 1 else self.offset
        scaled = tf.cast(images, tf.float32) * self.scale - tf.constant(offset, tf.float32)
        return tf.cast(scaled, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "offset": self.offset, "network": self.network}


class _Convolution(keras.layers.Layer):
    """Stride, rate and padding, which plain and depthwise convolutions share.

    padding: "same" is TensorFlow's. "explicit" pads strided layers by `k_eff - 1` zeros in all, `(k_eff - 1) // 2` of
    them before; the two differ for even sizes. Strided layers have rate 1 in every network here.
    """

    def __init__(self, kernel_size, stride=1, rate=1, padding="same", initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self.stride = kernel_size, stride
        self.rate = (rate, rate) if isinstance(rate, int) else tuple(rate)
        self.padding, self.initializer = padding, initializer

    def padded(self, x):
        """Returns (x, "SAME" or "VALID"). Zeros are added only where SAME would put them elsewhere."""
        odd = all(side is not None and side % 2 == 1 for side in x.shape[1:3])
        if self.padding == "same" or self.stride == 1 or self.kernel_size == 1 or (odd and self.stride == 2):
            return x, "SAME"
        before = (self.kernel_size - 1) // 2
        after = self.kernel_size - 1 - before
        return tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]]), "VALID"

    def _output_size(self, input_shape):
        return tuple(None if side is None else -(-side // self.stride) for side in input_shape[1:3])

    def get_config(self):
        shared = {name: getattr(self, name) for name in ("kernel_size", "stride", "rate", "padding")}
        return {**super().get_config(), **shared, "initializer": serialized(self.initializer)}


@keras.utils.register_keras_serializable("deeplab")
class Conv(_Convolution):
    """Convolution, plain or atrous, without bias unless asked for."""

    def __init__(self, filters, kernel_size, use_bias=False, **kwargs):
        super().__init__(kernel_size, **kwargs)
        self.filters, self.use_bias = filters, use_bias

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="weights", shape=shape, initializer=seeded(self.initializer))
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="biases", shape=(self.filters,), initializer="zeros")
        self.built = True

    def call(self, x, training=False):
        x, padding = self.padded(x)
        x = conv2d(x, tf.convert_to_tensor(self.kernel), self.stride, self.rate, padding, training)
        return x if self.bias is None else tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._output_size(input_shape), self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "use_bias": self.use_bias}


@keras.utils.register_keras_serializable("deeplab")
class DepthwiseConv(_Convolution):
    """Depthwise convolution: one kernel per channel. With a rate > 1: the atrous half of a separable convolution.

    Args:
      before: one of `activations.ACTIVATIONS`, which is applied to the input, or None. Xception's units begin with it;
        GPUs compute both in one pass over the memory.
    """

    def __init__(self, kernel_size, before=None, **kwargs):
        super().__init__(kernel_size, **kwargs)
        self.before = before

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], 1)
        self.kernel = self.add_weight(name="depthwise_weights", shape=shape, initializer=seeded(self.initializer))
        self.built = True

    def call(self, x, training=False):
        x, padding = self.padded(x)
        how = (self.stride, self.rate, padding, self.before, training)
        return depthwise_conv2d(x, tf.convert_to_tensor(self.kernel), *how)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._output_size(input_shape), input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "before": self.before}


@keras.utils.register_keras_serializable("deeplab")
class SeparableConv(DepthwiseConv):
    """Depthwise and pointwise convolution with nothing in between: the separable convolution of the NAS cells."""

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(kernel_size, **kwargs)
        self.filters = filters

    def build(self, input_shape):
        super().build(input_shape)
        shape = (1, 1, input_shape[-1], self.filters)
        self.pointwise = self.add_weight(name="pointwise_weights", shape=shape, initializer=seeded(self.initializer))

    def call(self, x, training=False):
        return tf.nn.conv2d(super().call(x, training), tf.convert_to_tensor(self.pointwise), strides=1, padding="SAME")

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape)[:3], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.utils.register_keras_serializable("deeplab")
class ResizeToScale(keras.layers.Layer):
    """Resizes features to `scale` times the image's size (1 / 16: one cell per 16 pixels), bilinearly, corners aligned.

    Called with [features, image]. The size comes from `crop_size`, or from the image where there is no crop size.
    """

    def __init__(self, scale, crop_size=None, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.crop_size = scale, crop_size

    def call(self, inputs):
        features, image = inputs
        features = tf.cast(features, self.compute_dtype)
        size = tuple(scale_dimension(side, self.scale) for side in self.crop_size or dynamic_size(image))
        return features if same_static_size(features, size) else resize_bilinear(features, size)

    def compute_output_shape(self, input_shape):
        features, image = input_shape
        sides = self.crop_size or image[1:3]
        size = tuple(None if side is None else scale_dimension(side, self.scale) for side in sides)
        return (features[0], *size, features[-1])

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "crop_size": self.crop_size}


@keras.utils.register_keras_serializable("deeplab")
class ResizeLike(keras.layers.Layer):
    """Resizes bilinearly, corners aligned. Called with [x, like]: to the size of `like`. Called with x: by `scale`."""

    def __init__(self, scale=1, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        x, like = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
        size = tuple(scale_dimension(side, self.scale) for side in dynamic_size(like))
        return x if same_static_size(x, size) else resize_bilinear(x, size)

    def compute_output_shape(self, input_shape):
        x, like = input_shape if isinstance(input_shape[0], (list, tuple)) else (input_shape, input_shape)
        size = tuple(None if side is None else scale_dimension(side, self.scale) for side in like[1:3])
        return (x[0], *size, x[-1])

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.utils.register_keras_serializable("deeplab")
class Sum(keras.layers.Layer):
    """Adds two tensors of one shape, of which an activation and another sum read the result."""

    def call(self, inputs):
        return unfused_sum(*inputs)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@keras.utils.register_keras_serializable("deeplab")
class AveragePooling(keras.layers.Layer):
    """Image pooling: the average over a window of `crop_size` pixels (None: the whole map) of features.

    `output_stride` is the input pixels per cell, a number or (vertical, horizontal). `strides` are the steps of the
    sliding window, in cells.
    """

    def __init__(self, crop_size, output_stride, strides, **kwargs):
        super().__init__(**kwargs)
        self.crop_size, self.output_stride = crop_size, output_stride
        per_side = (output_stride, output_stride) if isinstance(output_stride, int) else output_stride
        sides = None if crop_size is None else zip(crop_size, per_side, strict=True)
        self.window = None if sides is None else tuple(scale_dimension(side, 1.0 / stride) for side, stride in sides)
        self.strides = tuple(strides)

    def call(self, x):
        # The sum over a large map is above 65504, the largest float16, long before its average is.
        summable = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
        if self.window is None or same_static_size(x, self.window):
            return tf.cast(tf.reduce_mean(summable, axis=[1, 2], keepdims=True), x.dtype)
        return tf.cast(tf.nn.avg_pool2d(summable, self.window, self.strides, "VALID"), x.dtype)

    def compute_output_shape(self, input_shape):
        if self.window is None:
            return (input_shape[0], 1, 1, input_shape[-1])
        sides = zip(input_shape[1:3], self.window, self.strides, strict=True)
        size = tuple(None if side is None else (side - window) // stride + 1 for side, window, stride in sides)
        return (input_shape[0], *size, input_shape[-1])

    def get_config(self):
        own = {"crop_size": self.crop_size, "output_stride": self.output_stride, "strides": self.strides}
        return {**super().get_config(), **own}
