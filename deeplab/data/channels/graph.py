"""Reads images of several bands in the tf.data graph; `stored` says in which form records hold them."""

import tensorflow as tf

from deeplab.data.channels import stored, value_range


def is_bands(encoded):
    """Returns a bool scalar tensor: True if the bytes begin as an image of several bands."""
    return tf.equal(tf.strings.substr(encoded, 0, len(stored.MAGIC)), stored.MAGIC)


def header(encoded):
    """Returns (number of the type, height, width, channels), int32 scalars; 0 where the bytes are too short."""
    padded = tf.strings.join([tf.strings.substr(encoded, 0, stored.HEADER_BYTES), b"\0" * stored.HEADER_BYTES])
    numbers = tf.strings.substr(padded, len(stored.MAGIC), stored.HEADER_BYTES - len(stored.MAGIC))
    return tf.unstack(tf.reshape(tf.io.decode_raw(numbers, tf.int32, little_endian=False), (4,)))


def size(encoded):
    """Returns (height, width), int32 scalars."""
    return tuple(header(encoded)[1:3])


def decode(encoded, dataset):
    """Returns the pixels (H, W, num_channels) as the records of a `catalog.Dataset` hold them.

    They are uint8 where the data set has no range of values, else float32, which holds 16 bits exactly.
    """
    kind, height, width, channels = header(encoded)
    length = tf.maximum(tf.strings.length(encoded) - stored.HEADER_BYTES, 0)
    values = tf.io.decode_compressed(tf.strings.substr(encoded, stored.HEADER_BYTES, length), "ZLIB")
    if not dataset.value_range:
        flat = tf.io.decode_raw(values, tf.uint8)
    else:

        def as_float(dtype):
            return lambda: tf.cast(tf.io.decode_raw(values, tf.as_dtype(dtype)), tf.float32)

        flat = tf.switch_case(kind, [as_float(dtype) for dtype in stored.TYPES])
    return tf.ensure_shape(tf.reshape(flat, (height, width, channels)), (None, None, dataset.num_channels))


def pixels(encoded, dataset):
    """Returns the pixels (H, W, num_channels) in [0, 255] that the network is trained on; types as of `decode`."""
    decoded = decode(encoded, dataset)
    return value_range.to_pixels(decoded, dataset.value_range) if dataset.value_range else decoded
