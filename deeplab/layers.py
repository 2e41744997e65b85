"""The layers that own weights or sizes. Weights bear the reference's variable names (see checkpoints/names.py).

Tensors are (B, h, w, C); kernels (k, k, in, out), depthwise kernels (k, k, C, 1).
"""

import zlib

import tensorflow as tf
from tensorflow import keras

from deeplab.resize import dynamic_size, resize_bilinear, same_static_size, scale_dimension

ACTIVATIONS = {
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3) * (1 / 6),
    "gate": lambda x: tf.nn.relu6(x + 3) * 0.16667,  # the reference's literal, not 1/6
    "sigmoid": tf.nn.sigmoid,
    "clip6": lambda x: tf.clip_by_value(x, -6, 6),
}
_KERAS_3 = keras.__version__.startswith("3")
_FLOAT32 = {"dtype": "float32", "autocast" if _KERAS_3 else "experimental_autocast": False}  # whatever the policy


def _replicated_weight(layer, name, shape, initializer, dtype="float32"):
    """Adds a weight that is not learned and of which every replica computes the same value."""
    first = "only_first_replica" if _KERAS_3 else tf.VariableAggregation.ONLY_FIRST_REPLICA
    settings = {**_FLOAT32, "dtype": dtype, "aggregation": first, "trainable": False}
    return layer.add_weight(name=name, shape=shape, initializer=initializer, **settings)


@keras.utils.register_keras_serializable("deeplab")
class Activation(keras.layers.Layer):
    """Applies one of `ACTIVATIONS`."""

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def call(self, x):
        return ACTIVATIONS[self.kind](x)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.utils.register_keras_serializable("deeplab")
class Normalize(keras.layers.Layer):
    """Scales pixels 0..255 for the backbone: `x * scale - offset`, in float32 whatever the compute type."""

    def __init__(self, scale, offset, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset = scale, tuple(offset)

    def call(self, images):
        scaled = tf.cast(images, tf.float32) * self.scale - tf.constant(self.offset, tf.float32)
        return tf.cast(scaled, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


class _Convolution(keras.layers.Layer):
    """What plain and depthwise convolutions share: stride, rate and where zeros are padded.

    padding: "same" as TensorFlow's, or "explicit": for stride > 1, `k_eff - 1` zeros in all, `(k_eff - 1) // 2` of them
    before; the two differ for even sizes. Strided layers have rate 1 in every network here.
    """

    def __init__(self, kernel_size, stride=1, rate=1, padding="same", initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.kernel_size, self.stride = kernel_size, stride
        self.rate = (rate, rate) if isinstance(rate, int) else tuple(rate)
        self.padding, self.initializer = padding, initializer

    def _padded(self, x):
        """Returns (x, "SAME" or "VALID") with the explicit zeros added where SAME would put them elsewhere."""
        odd = all(side is not None and side % 2 == 1 for side in x.shape[1:3])
        if self.padding == "same" or self.stride == 1 or self.kernel_size == 1 or (odd and self.stride == 2):
            return x, "SAME"
        before = (self.kernel_size - 1) // 2
        after = self.kernel_size - 1 - before
        return tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]]), "VALID"

    def _output_size(self, input_shape):
        return tuple(None if side is None else -(-side // self.stride) for side in input_shape[1:3])


@keras.utils.register_keras_serializable("deeplab")
class Conv(_Convolution):
    """Convolution, plain or atrous, without bias unless asked for."""

    def __init__(self, filters, kernel_size, use_bias=False, **kwargs):
        super().__init__(kernel_size, **kwargs)
        self.filters, self.use_bias = filters, use_bias

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="weights", shape=shape, initializer=self.initializer)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="biases", shape=(self.filters,), initializer="zeros")
        self.built = True

    def call(self, x):
        x, padding = self._padded(x)
        x = tf.nn.convolution(
            x, tf.convert_to_tensor(self.kernel), strides=self.stride, padding=padding, dilations=self.rate
        )
        return x if self.bias is None else tf.nn.bias_add(x, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._output_size(input_shape), self.filters)


@keras.utils.register_keras_serializable("deeplab")
class DepthwiseConv(_Convolution):
    """Depthwise convolution, one kernel per channel; with a rate > 1 the atrous half of a separable convolution."""

    def build(self, input_shape):
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], 1)
        self.kernel = self.add_weight(name="depthwise_weights", shape=shape, initializer=self.initializer)
        self.built = True

    def call(self, x):
        return self.depthwise(x, tf.convert_to_tensor(self.kernel))

    def depthwise(self, x, kernel):
        x, padding = self._padded(x)
        strides = [1, self.stride, self.stride, 1]
        return tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=self.rate)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self._output_size(input_shape), input_shape[-1])


@keras.utils.register_keras_serializable("deeplab")
class SeparableConv(DepthwiseConv):
    """Depthwise and pointwise convolution in one, nothing in between (the separable convolution of the NAS cells)."""

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(kernel_size, **kwargs)
        self.filters = filters

    def build(self, input_shape):
        super().build(input_shape)
        shape = (1, 1, input_shape[-1], self.filters)
        self.pointwise = self.add_weight(name="pointwise_weights", shape=shape, initializer=self.initializer)

    def call(self, x):
        return tf.nn.conv2d(super().call(x), tf.convert_to_tensor(self.pointwise), strides=1, padding="SAME")

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape)[:3], self.filters)


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
        self.updates = _replicated_weight(self, "updates", (), "zeros")
        self.built = True

    def call(self, x, training=False):
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if not training or self.frozen:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return self._fused(x, gamma, beta, mean, variance)[0]
        replicas = tf.distribute.get_replica_context()
        if replicas is not None and replicas.num_replicas_in_sync > 1:
            y, mean, variance = self._across_replicas(x, gamma, beta, replicas)
        else:
            y, mean, variance = self._fused(x, gamma, beta)
        self._update(mean, variance)
        return y

    def _fused(self, x, gamma, beta, mean=None, variance=None):
        """Returns (y, mean, unbiased variance); by the given statistics, else by those of the batch."""
        return tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, mean=mean, variance=variance, epsilon=self.epsilon, is_training=mean is None
        )

    def _across_replicas(self, x, gamma, beta, replicas):
        """As `_fused` in training, with the statistics of all replicas (which hold equally many values)."""
        mean, variance = tf.nn.moments(tf.cast(x, tf.float32), axes=[0, 1, 2])
        count = replicas.num_replicas_in_sync
        sums = replicas.all_reduce(tf.distribute.ReduceOp.SUM, tf.stack([mean, variance, tf.square(mean)]))
        mean, within, square = tf.unstack(sums / count)
        variance = within + tf.maximum(square - tf.square(mean), 0)
        scale = gamma * tf.math.rsqrt(variance + self.epsilon)
        y = tf.cast(x, tf.float32) * scale + (beta - mean * scale)
        values = tf.cast(tf.reduce_prod(tf.shape(x)[:3]) * count, tf.float32)
        return tf.cast(y, x.dtype), mean, variance * values / tf.maximum(values - 1, 1)

    def _update(self, mean, variance):
        updates = tf.convert_to_tensor(self.updates)
        decay = tf.minimum(self.decay, (1 + updates) / (10 + updates)) if self.warmup else tf.constant(self.decay)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old * decay + tf.stop_gradient(value) * (1 - decay))
        self.updates.assign(updates + 1)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.utils.register_keras_serializable("deeplab")
class Dropout(keras.layers.Layer):
    """Dropout whose mask is a pure function of (layer, number of the draw, place in the global batch).

    So a resumed training draws what it would have drawn, and any number of replicas draws what one would.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def build(self, input_shape):
        self.draws = _replicated_weight(self, "draws", (), "zeros", "int32")
        self.built = True

    def call(self, x, training=False):
        if not training or not self.rate:
            return x
        draws = tf.convert_to_tensor(self.draws)
        replicas = tf.distribute.get_replica_context()
        count = replicas.num_replicas_in_sync if replicas else 1
        first = tf.shape(x)[0] * replicas.replica_id_in_sync_group if count > 1 else 0
        shape = tf.concat([[tf.shape(x)[0] * count], tf.shape(x)[1:]], axis=0)
        uniform = tf.random.stateless_uniform(shape, seed=tf.stack([zlib.crc32(self.name.encode()) >> 1, draws]))
        keep = tf.slice(uniform, [first, 0, 0, 0], tf.shape(x)) >= self.rate
        self.draws.assign(draws + 1)
        return tf.where(keep, x / (1 - self.rate), tf.zeros_like(x))

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.utils.register_keras_serializable("deeplab")
class ResizeToScale(keras.layers.Layer):
    """Resizes features to `scale` times the image's size (1 / 16: one cell per 16 pixels), bilinearly, corners aligned.

    Called with [features, image]. The size is that of `crop_size` where it is given, else that of the image.
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


@keras.utils.register_keras_serializable("deeplab")
class ResizeLike(keras.layers.Layer):
    """Resizes x, bilinearly with corners aligned: called with [x, like] to the size of `like`, else by `scale`."""

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


@keras.utils.register_keras_serializable("deeplab")
class AveragePooling(keras.layers.Layer):
    """Average over a window of `crop_size` pixels (None: the whole map) of features at `output_stride` (image pooling).

    `output_stride` is a number or (vertical, horizontal); `strides` are those of the sliding window, in cells.
    """

    def __init__(self, crop_size, output_stride, strides, **kwargs):
        super().__init__(**kwargs)
        per_side = (output_stride, output_stride) if isinstance(output_stride, int) else output_stride
        sides = None if crop_size is None else zip(crop_size, per_side, strict=True)
        self.window = None if sides is None else tuple(scale_dimension(side, 1.0 / stride) for side, stride in sides)
        self.strides = tuple(strides)

    def call(self, x):
        if self.window is None or same_static_size(x, self.window):
            return tf.reduce_mean(x, axis=[1, 2], keepdims=True)
        return tf.nn.avg_pool2d(x, self.window, self.strides, "VALID")

    def compute_output_shape(self, input_shape):
        if self.window is None:
            return (input_shape[0], 1, 1, input_shape[-1])
        sides = zip(input_shape[1:3], self.window, self.strides, strict=True)
        size = tuple(None if side is None else (side - window) // stride + 1 for side, window, stride in sides)
        return (input_shape[0], *size, input_shape[-1])
