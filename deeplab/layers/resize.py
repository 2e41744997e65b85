"""Sizes and align-corners resizing: corner pixels coincide, scale = (in - 1) / (out - 1)."""

import contextlib
import contextvars

import numpy as np
import tensorflow as tf

_PRODUCTS = contextvars.ContextVar("products", default=False)


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
    if _PRODUCTS.get():
        resized = _resize_by_products(x, size)
    else:
        resized = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)  # float32, whatever x is
    return tf.cast(resized, x.dtype) if x.dtype.is_floating else resized


@contextlib.contextmanager
def as_products():
    """Bilinear resizes that are traced inside become products with constant matrices. Sizes must be static then."""
    token = _PRODUCTS.set(True)
    try:
        yield
    finally:
        _PRODUCTS.reset(token)


def _resize_by_products(x, size):
    """As `resize_bilinear`, rows first; source and target sizes are ints."""
    rows, columns = (
        tf.constant(interpolation_matrix(source, target)) for source, target in zip(x.shape[1:3], size, strict=True)
    )
    x = tf.cast(x, tf.float32)
    flat = tf.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3]))
    tall = tf.reshape(tf.matmul(rows, flat), (-1, x.shape[2], x.shape[3]))
    return tf.reshape(tf.matmul(columns, tall), (-1, *size, x.shape[3]))


def interpolation_matrix(source, target):
    """Returns (target, source) float32: the weights of `source` cells in each of `target`, corners aligned."""
    place = np.arange(target) * ((source - 1) / max(target - 1, 1))
    low = np.minimum(place.astype(int), source - 1)
    matrix = np.zeros((target, source), np.float32)
    matrix[np.arange(target), low] = 1 - (place - low)
    matrix[np.arange(target), np.minimum(low + 1, source - 1)] += place - low
    return matrix


def resize_nearest(x, size):
    """Resizes (B, h, w, C) labels to `size` by nearest neighbour with corners aligned; keeps the dtype."""
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, align_corners=True)
