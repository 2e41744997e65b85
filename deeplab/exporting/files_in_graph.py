"""Decodes image files inside of an export, with the pixels that `deeplab.predict` reads from the same files."""

import tensorflow as tf

_PNG_COLORS = (4, 6)  # colour types of a PNG with alpha
_WHITE = 255


def can_decode(channels):
    """Tells whether TensorFlow decodes the files of a data set with these `Channels`: their first 1, 3 or 4 bands.

    The fourth band of a file of 4 bands is what other files use as alpha, so only PNGs have it.
    """
    return channels.bands in ((), (1,), (1, 2, 3), (1, 2, 3, 4))


def decode(content, channels):
    """Returns the image (H, W, C) in the bytes of a file: uint8, or float32 where there is a range of values.

    Transparent pixels of RGB are laid on white. Where bands are named, they are taken as they are stored.
    """
    with tf.device("CPU:0"):  # GPUs have no kernels for text
        if channels.bands:
            image = _bands(content, channels)
        else:
            image = _on_white(content) if not channels.value_range else _values(content, 3)
    return tf.ensure_shape(image, (None, None, channels.num_channels))


def _bands(content, channels):
    count = 4 if channels.num_channels == 4 else 3  # of grey files, all three are equal; one band is the first of them
    if count == 4:
        fits = _is_png(content) & tf.equal(_byte(content, 25), 6)
        with tf.control_dependencies([tf.debugging.Assert(fits, ["expected a PNG of 4 bands"])]):
            content = tf.identity(content)
    image = _values(content, count) if channels.value_range else _decoded(content, count)
    return image[..., : channels.num_channels]


def _decoded(content, count):
    """Returns (H, W, count) uint8."""
    image = tf.io.decode_image(content, channels=count, expand_animations=False)
    return tf.ensure_shape(image, (None, None, count))


def _values(content, count):
    """Returns (H, W, count) float32, the values as they are stored, 16 bits of a PNG included."""

    def deep():
        return tf.cast(tf.io.decode_png(content, channels=count, dtype=tf.uint16), tf.float32)

    is_deep = _is_png(content) & tf.equal(_byte(content, 24), 16)
    image = tf.cond(is_deep, deep, lambda: tf.cast(_decoded(content, count), tf.float32))
    return tf.ensure_shape(image, (None, None, count))


def _on_white(content):
    """Returns (H, W, 3) uint8; of files that may have alpha it is decoded, too, and laid on white."""
    is_webp = tf.equal(tf.strings.substr(content, 8, 4), b"WEBP")
    by_type = tf.reduce_any([tf.equal(_byte(content, 25), kind) for kind in _PNG_COLORS])

    def in_png():
        return by_type | tf.strings.regex_full_match(content, r"\C*tRNS\C*")  # a palette with transparent colours

    has_alpha = tf.cond(_is_png(content), in_png, lambda: is_webp)
    image = tf.cond(has_alpha, lambda: _laid_on_white(_decoded(content, 4)), lambda: _decoded(content, 3))
    return tf.ensure_shape(image, (None, None, 3))


def _laid_on_white(image):
    """Returns (H, W, 3) uint8 of (H, W, 4), with the rounding of Pillow's `alpha_composite`."""
    colors, alpha = tf.cast(image[..., :3], tf.int32), tf.cast(image[..., 3:], tf.int32)
    total = (colors * alpha + _WHITE * (255 - alpha)) * 128 + (128 << 7)
    rounded = tf.bitwise.right_shift(tf.bitwise.right_shift(total, 8) + total, 8)
    return tf.cast(tf.bitwise.right_shift(rounded, 7), tf.uint8)


def _is_png(content):
    return tf.equal(tf.strings.substr(content, 0, 4), b"\x89PNG")


def _byte(content, place):
    """Returns the byte at a place as an int32 scalar; 0 behind the end."""
    padded = tf.strings.join([tf.strings.substr(content, 0, place + 1), b"\0" * (place + 1)])
    return tf.cast(tf.io.decode_raw(tf.strings.substr(padded, place, 1), tf.uint8)[0], tf.int32)
