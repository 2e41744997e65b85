"""Augmentations that the paper does not use: colours, blur, flips upside down, turns, rotations. Off by default.

Photographs from above and through a microscope have no upper side, so that every orientation of them is as likely.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from deeplab.data.sampling import to_uint8


def recolor(image, augment, seed):
    """Changes brightness, contrast and saturation at random, then blurs.

    Args:
      image: (H, W, 3) float32 in [0, 255].
      augment: `AugmentConfig`; steps whose strength is 0 are left out.
      seed: (2,) int.

    Returns:
      (H, W, 3) float32 in [0, 255].
    """
    seeds = tf.random.split(seed, 4)
    share = augment.color_jitter
    if share:
        gain = [tf.random.stateless_uniform((), seeds[i], 1 - share, 1 + share) for i in range(3)]
        image = image * gain[0]
        image = (image - tf.reduce_mean(image)) * gain[1] + tf.reduce_mean(image)
        gray = _gray(image)
        image = tf.clip_by_value(gray + (image - gray) * gain[2], 0, 255)
    if augment.blur_sigma:
        image = blur(image, tf.random.stateless_uniform((), seeds[3], 1e-3, augment.blur_sigma), augment.blur_sigma)
    return image


def _gray(image):
    """Returns the brightness (H, W, 1) of an image: the luma of RGB, the mean of other bands."""
    if image.shape[-1] != 3:
        return tf.reduce_mean(image, axis=-1, keepdims=True)
    return tf.reduce_sum(image * (0.299, 0.587, 0.114), axis=-1, keepdims=True)  # ITU-R BT.601 luma


def blur(image, sigma, largest_sigma):
    """Returns the image (H, W, 3) convolved with a Gaussian of `sigma` pixels, a tensor of at most `largest_sigma`."""
    radius = max(1, math.ceil(3 * largest_sigma))
    offsets = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(-tf.square(offsets / sigma) / 2)
    weights = tf.tile(tf.reshape(weights / tf.reduce_sum(weights), (-1, 1, 1, 1)), (1, 1, tf.shape(image)[-1], 1))
    height, width = tf.unstack(tf.shape(image)[:2])
    for axis, side in enumerate((height, width)):  # pixels beyond the edge repeat those at the edge
        image = tf.gather(image, tf.clip_by_value(tf.range(-radius, side + radius), 0, side - 1), axis=axis)
    image = image[tf.newaxis]
    for kernel in (weights, tf.transpose(weights, (1, 0, 2, 3))):
        image = tf.nn.depthwise_conv2d(image, kernel, (1, 1, 1, 1), "VALID")
    return image[0]


class Orientation(NamedTuple):
    """How a crop is turned and flipped, scalar tensors; None where the option is off."""

    turns: tf.Tensor | None  # int32: quarter turns against the clock, 0 to 3
    upside_down: tf.Tensor | None  # bool


def draw_orientation(augment, seed):
    """Returns the `Orientation` of an example; a pure function of `seed`, (2,) int, which other draws may use, too.

    The seeds are folded out of `seed`, so that no draw of the other augmentations changes where these are on.
    """
    turns = upside_down = None
    if augment.quarter_turns:
        turns = tf.random.stateless_uniform((), tf.random.fold_in(seed, 1), 0, 4, tf.int32)
    if augment.vertical_flip_probability:
        drawn = tf.random.stateless_uniform((), tf.random.fold_in(seed, 2))
        upside_down = drawn < augment.vertical_flip_probability
    return Orientation(turns, upside_down)


def size_before(size, orientation):
    """Returns the (height, width) of the crop that has `size`, two ints, after `orient`.

    A crop that is not square is taken with its sides exchanged where it becomes an upright one by a quarter turn.
    """
    if orientation.turns is None or size[0] == size[1]:
        return size
    turned = tf.equal(orientation.turns % 2, 1)
    return tuple(tf.unstack(tf.where(turned, size[::-1], size)))


def orient(image, label, orientation):
    """Flips and turns a crop (H, W, 3) and its label (H, W); every pixel keeps its value."""
    pair = image, label
    if orientation.upside_down is not None:
        pair = tf.cond(orientation.upside_down, lambda: tuple(tf.reverse(x, [0]) for x in (image, label)), lambda: pair)
    if orientation.turns is None:
        return pair
    upright = pair

    def turned(count):
        return lambda: tuple(_quarter_turns(x, count) for x in upright)

    return tf.switch_case(orientation.turns, [lambda: upright, *map(turned, (1, 2, 3))])


def _quarter_turns(x, count):
    """Returns (H, W, ...) after 1, 2 or 3 quarter turns against the clock."""
    if count == 2:
        return tf.reverse(x, [0, 1])
    others = range(2, x.shape.rank)
    return tf.reverse(tf.transpose(x, (1, 0, *others)), [0 if count == 1 else 1])


def rotate(image, label, augment, pad_rgb, ignore_label, seed):
    """Rotates a crop (H, W, C) and its label (H, W) about the centre by a random angle, and pads the corners."""
    limit = math.radians(augment.rotation_degrees)
    angle = tf.random.stateless_uniform((), seed, -limit, limit)
    shape = tf.shape(image)
    center_y, center_x = (tf.cast(shape[axis] - 1, tf.float32) / 2 for axis in (0, 1))
    cos, sin = tf.cos(angle), tf.sin(angle)
    shift_x = center_x - cos * center_x + sin * center_y
    shift_y = center_y - sin * center_x - cos * center_y
    matrix = tf.stack([cos, -sin, shift_x, sin, cos, shift_y, 0.0, 0.0])[tf.newaxis]  # output pixel -> input pixel

    def transform(x, interpolation):
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=x[tf.newaxis],
            transforms=matrix,
            output_shape=shape[:2],
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode="CONSTANT",
        )[0]

    pixel = tf.constant(pad_rgb, tf.float32)
    kept = to_uint8 if image.dtype == tf.uint8 else tf.identity
    image = transform(tf.cast(image, tf.float32) - pixel, "BILINEAR") + pixel
    label = transform(tf.cast(label, tf.int32)[..., tf.newaxis] - ignore_label, "NEAREST") + ignore_label
    return kept(image), tf.cast(label[..., 0], tf.uint8)
