"""Sizes and align-corners resizing: corner pixels coincide, scale = (in - 1) / (out - 1)."""

import contextlib
import contextvars

import numpy as np
import tensorflow as tf

from deeplab.layers import hardware

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
    # XLA's gradient of the operation takes 27 times as long as that of two products (437 against 16 ms on a CPU).
    if _PRODUCTS.get() or (hardware.is_compiled() and _are_static(x, size)):
        resized = _resize_by_products(x, size, interpolation_matrix)
    else:
        resized = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True)  # float32, whatever x is
    return tf.cast(resized, x.dtype) if x.dtype.is_floating else resized


def resize_bilinear_in_strips(x, size, strips):
    """Equals `resize_bilinear`, in strips that lie below each other: their tensors together are the result.

    TensorFlow's kernel runs on a single thread. It computes the strips side by side, and what reads a strip next finds
    more of it in the cache. The numbers are exactly those of `resize_bilinear`.

    Args:
      x: (B, h, w, C).
      size: (height, width) with height = n * (h - 1) + 1, where n is a power of two, so that each cell of `x` is a row
        of pixels, where strips can begin. Sides may be int32 scalars.
      strips: how many tensors, an int. Some of them are empty if `x` has fewer rows of cells.

    Returns:
      A list of tensors (B, rows, width, C).
    """
    cells = dynamic_size(x)[0] - 1  # between the first row and the last
    pixels = (size[0] - 1) // tf.maximum(cells, 1)  # of a cell
    parts = []
    for strip in range(strips):
        first, last = strip * cells // strips, (strip + 1) * cells // strips
        part = resize_bilinear(x[:, first : last + 1], ((last - first) * pixels + 1, size[1]))
        parts.append(part[:, 1:] if strip else part)  # the strip above has the row that both begin and end with
    return parts


def _are_static(x, size):
    return None not in x.shape[1:3] and isinstance(size, (tuple, list)) and all(isinstance(side, int) for side in size)


@contextlib.contextmanager
def as_products():
    """Bilinear resizes that are traced inside become products with constant matrices. Sizes must be static then."""
    token = _PRODUCTS.set(True)
    try:
        yield
    finally:
        _PRODUCTS.reset(token)


def _resize_by_products(x, size, matrix):
    """Resizes by the matrices that `matrix` gives for each side, rows first; source and target sizes are ints."""
    rows, columns = (tf.constant(matrix(source, target)) for source, target in zip(x.shape[1:3], size, strict=True))
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
    """Resizes (B, h, w, C) by nearest neighbour with corners aligned; keeps the dtype. GPUs take `resize_labels`."""
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=size, align_corners=True)


def resize_labels(labels, size):
    """Resizes class ids (B, h, w) to `size` by nearest neighbour with corners aligned; keeps the dtype.

    The work is done in float32, which holds every integer up to 2^24: GPUs resize and slice no int32.
    """
    floating = tf.cast(labels, tf.float32)[..., tf.newaxis]
    return tf.cast(resize_nearest(floating, size)[..., 0], labels.dtype)


def take_nearest(x, size):
    """Does what `resize_nearest` does by taking rows and columns; source and target sizes are ints.

    Not all engines have an operation that resizes by nearest neighbour with corners aligned; all can take rows.
    """
    rows, columns = (_nearest(source, target) for source, target in zip(x.shape[1:3], size, strict=True))
    return tf.gather(tf.gather(x, rows, axis=1), columns, axis=2)


def _nearest(source, target):
    """Returns (target,) int32: the cell that each takes, rounded in float32 as TensorFlow's kernel does."""
    place = np.arange(target, dtype=np.float32) * np.float32((source - 1) / max(target - 1, 1))
    return np.minimum(np.floor(place + np.float32(0.5)), source - 1).astype(np.int32)


def resize_antialiased(x, size):
    """Resizes (B, h, w, C) images to `size` (height, width), corners aligned; returns float32.

    Where the image becomes smaller, every pixel of the source counts: the triangle of bilinear interpolation is as wide
    as the distance of the new pixels. Where it becomes larger, this is `resize_bilinear`.

    If source and target sizes are known ints, this is made of products, since TensorFlow's kernel does not exist in
    TFLite, ONNX and OpenVINO. The kernel exists for CPUs only. Where the network runs on a GPU, TensorFlow by itself
    runs the kernel on the CPU, in a SavedModel, too; no `tf.device` may ask for a GPU here.
    """
    if None not in x.shape[1:3] and not isinstance(size[0], tf.Tensor):
        return _resize_by_products(x, size, antialiasing_matrix)
    source, target = (tf.cast(tf.stack(sides), tf.float32) for sides in (tf.shape(x)[1:3], size))
    aligned = (source > 1) & (target > 1)  # one pixel has no two corners; its center is then aligned
    scale = tf.where(aligned, (target - 1) / tf.maximum(source - 1, 1), target / source)
    shift = tf.where(aligned, 0.5 - 0.5 * scale, 0.0)  # the kernel aligns the outer edges of the corner pixels
    return tf.raw_ops.ScaleAndTranslate(
        images=x, size=tf.cast(target, tf.int32), scale=scale, translation=shift, kernel_type="triangle", antialias=True
    )


def antialiasing_matrix(source, target):
    """Returns (target, source) float32: the weights of `source` pixels in each of `target` by `resize_antialiased`."""
    if source > 1 and target > 1:
        distance, first = (source - 1) / (target - 1), 0.0
    else:
        distance = source / target
        first = 0.5 * distance - 0.5
    place = np.clip(first + np.arange(target) * distance, 0, source - 1)
    weights = np.maximum(0, 1 - np.abs(np.arange(source) - place[:, None]) / max(distance, 1))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
