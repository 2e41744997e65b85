"""Sizes and align-corners resizing: corner pixels coincide, scale = (in - 1) / (out - 1)."""

import tensorflow as tf


def scale_dimension(size, scale):
    """Returns int((size - 1) * scale + 1): pixels of a side at `scale`. `size` is an int or an int32 tensor."""
    if isinstance(size, tf.Tensor):
        return tf.cast((tf.cast(size, tf.float32) - 1) * scale + 1, tf.int32)
    return int((float(size) - 1) * scale + 1)


def dynamic_size(x):
    """Returns (height, width) of (B, h, w, C): ints where the graph knows them, else int32 scalars."""
    static, dynamic = x.shape[1:3], tf.shape(x)
    return tuple(dynamic[axis + 1] if side is None else side for axis, side in enumerate(static))


def same_static_size(x, size):
    """Tells whether x is known to have `size` (height, width) already."""
    known = not any(isinstance(side, tf.Tensor) for side in size)
    return known and tuple(x.shape[1:3]) == tuple(size)


def resize_bilinear(x, size):
    """Resizes (B, h, w, C) to `size` (height, width), corners aligned; keeps a floating dtype, else gives float32."""
    resized = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)  # float32, whatever x is
    return tf.cast(resized, x.dtype) if x.dtype.is_floating else resized


def resize_nearest(x, size):
    """Resizes (B, h, w, C) labels to `size` by nearest neighbour with corners aligned; keeps the dtype."""
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, align_corners=True)
