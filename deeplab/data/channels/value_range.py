"""From the values of an image to the pixels 0..255 that networks take.

The range of a data set is () for 8 bits, where values are pixels; `PER_IMAGE`; or (low, high) of all bands, or so for
each band: (low, high, low, high, ...). Values outside of a range become its ends.
"""

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError

PER_IMAGE = "per_image"  # every image reaches from 0 to 255: from its lowest to its highest value, of all its bands


def checked(values, num_channels):
    """Returns the range of a data set as it is kept: (), PER_IMAGE or a tuple of floats.

    Raises:
      UserError: it is none of these, or an end does not lie above its beginning.
    """
    if values == PER_IMAGE:
        return PER_IMAGE
    if isinstance(values, str) or len(values) not in (0, 2, 2 * num_channels):
        expected = f"low,high of all bands or of each of {num_channels} bands, or {PER_IMAGE}"
        raise UserError(f"value_range={values!r}: expected {expected}")
    kept = tuple(float(value) for value in values)
    if not all(np.isfinite(kept)) or any(low >= high for low, high in zip(kept[::2], kept[1::2], strict=True)):
        raise UserError(f"value_range={list(values)}: expected finite numbers, each end above its beginning")
    return kept


def to_pixels(images, values):
    """Returns (..., H, W, C) float32 in [0, 255] of images (..., H, W, C) of any type, by the range `values`, not ().

    A tensor gives a tensor, and an array an array. The whole image is needed where the range is PER_IMAGE.
    """
    is_array = isinstance(images, np.ndarray)
    x = tf.cast(images, tf.float32)
    if values == PER_IMAGE:
        low, high = (reduce(x, axis=(-3, -2, -1), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        factor = tf.math.divide_no_nan(255.0, high - low)
    else:
        low, high = (np.array(values[place::2], np.float32) for place in (0, 1))
        factor = np.float32(255) / (high - low)
    pixels = tf.clip_by_value((x - low) * factor, 0, 255)
    return pixels.numpy() if is_array else pixels


def to_values(pixels, values, like=None):
    """Returns the values, float32, that `to_pixels` turns into the pixels (..., C) in [0, 255] of an array.

    Args:
      pixels: the array.
      values: the range, not ().
      like: the image (H, W, C) whose own range is meant where the range is PER_IMAGE; None for 16 bits.
    """
    if values == PER_IMAGE:
        low, high = (0, 65535) if like is None else (float(like.min()), float(like.max()))
    else:
        low, high = (np.array(values[place::2], np.float32) for place in (0, 1))
    return (low + np.asarray(pixels, np.float32) * ((high - low) / 255)).astype(np.float32)
