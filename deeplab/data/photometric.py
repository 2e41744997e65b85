"""Augmentations that the paper does not use: colour jitter, Gaussian blur, small rotations. They are off by default."""

import math

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
