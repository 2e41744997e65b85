"""Max pooling, whose gradient is deterministic under XLA, too."""

import tensorflow as tf
from tensorflow import keras

from deeplab.layers import hardware


@keras.utils.register_keras_serializable("deeplab")
class MaxPooling(keras.layers.Layer):
    """Takes the maximum of each channel in windows of `size` x `size` cells; the padding is SAME."""

    def __init__(self, size, stride, **kwargs):
        super().__init__(**kwargs)
        self.size, self.stride = size, stride

    def call(self, x):
        return max_pool(x, self.size, self.stride)

    def compute_output_shape(self, input_shape):
        sides = (None if side is None else -(-side // self.stride) for side in input_shape[1:3])
        return (input_shape[0], *sides, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "stride": self.stride}


def max_pool(x, size, stride):
    """Equals tf.nn.max_pool2d of x (B, h, w, C) with padding SAME.

    XLA refuses to compile the gradient of that operation for a GPU if results have to be deterministic. There the
    gradient is composed of operations on whole arrays, which XLA fuses; sides must be static then.
    """
    if hardware.is_compiled() and hardware.is_deterministic():
        return _with_composed_gradient(x, size, stride)
    return tf.nn.max_pool2d(x, size, stride, "SAME")


def _with_composed_gradient(x, size, stride):
    margins = [[0, 0], *(same_margins(side, size, stride) for side in x.shape[1:3]), [0, 0]]

    @tf.custom_gradient
    def pool(x):
        y = tf.nn.max_pool2d(x, size, stride, "SAME")

        def gradient(dy):
            padded = tf.pad(x, margins, constant_values=x.dtype.min)
            return _unpadded(_gradient_of_padded(dy, padded, y, size, stride), margins, x.shape)

        return y, gradient

    return pool(x)


def _gradient_of_padded(dy, padded, y, size, stride):
    """Returns the gradient by `padded`. Like the kernel, it goes to the first maximum of a window, row after row."""
    total, is_found = 0.0, tf.zeros_like(y, tf.bool)
    for row in range(size):
        for column in range(size):
            # One cell of every window: the windows begin `stride` cells apart, this cell lies at (row, column) in each.
            begin = [0, row, column, 0]
            ends = (first + stride * (side - 1) + 1 for first, side in zip((row, column), y.shape[1:3], strict=True))
            end, steps = [0, *ends, 0], [1, stride, stride, 1]
            where = {"begin": begin, "end": end, "strides": steps, "begin_mask": 0b1001, "end_mask": 0b1001}
            is_maximum = (tf.raw_ops.StridedSlice(input=padded, **where) == y) & ~is_found
            share = tf.where(is_maximum, dy, tf.zeros_like(dy))
            total += tf.raw_ops.StridedSliceGrad(shape=tf.shape(padded), dy=share, **where)
            is_found |= is_maximum
    return total


def _unpadded(padded, margins, shape):
    return tf.slice(padded, [before for before, _after in margins], [-1, *shape[1:]])


def same_margins(side, size, stride):
    """Returns the cells that the padding SAME adds before and after a side, for windows of `size` cells."""
    missing = max((-(-side // stride) - 1) * stride + size - side, 0)
    return [missing // 2, missing - missing // 2]
