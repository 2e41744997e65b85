"""Resizes and augments one image with its label, one step after the other, as the reference does.

Images are (H, W, 3) float32 in [0, 255], labels (H, W, 1) uint8. These functions define the augmentation; training uses
`sampling.py`, which computes the same pixels faster. Source: reference core/preprocess_utils.py, input_preprocess.py.
"""

import numpy as np
import tensorflow as tf

from deeplab.layers.resize import resize_bilinear, resize_nearest


def resize_pair(image, label, size):
    """Resizes image (bilinear) and label (nearest neighbour), corners aligned, to `size` (height, width)."""
    image = resize_bilinear(tf.cast(image, tf.float32)[tf.newaxis], size)[0]
    return image, None if label is None else resize_nearest(label[tf.newaxis], size)[0]


def range_size(height, width, resize, keep_aspect_ratio=True):
    """Returns (height, width), int32 tensors, of an image after `resize_to_range`.

    The shorter side becomes min_resize_value. If the longer side would then exceed max_resize_value, it becomes
    max_resize_value instead. Sides are floor(side * factor) in float32, then rounded up to a multiple of resize_factor
    plus one. `resize` is a `ResizeConfig`; without min_resize_value the size stays as it is.
    """
    if resize.min_resize_value is None:
        return tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    factor, longest = resize.resize_factor, resize.max_resize_value
    if longest is not None and factor is not None:
        longest = longest - (longest - 1) % factor  # rounded down to a multiple of the factor, plus one
    sides = tf.cast(tf.stack([height, width]), tf.float32)
    new_sides = tf.cast(tf.floor(sides * (float(resize.min_resize_value) / tf.reduce_min(sides))), tf.int32)
    if longest is not None:
        small = tf.cast(tf.floor(sides * (float(longest) / tf.reduce_max(sides))), tf.int32)
        new_sides = tf.where(tf.reduce_max(new_sides) > longest, small, new_sides)
    if factor is not None:
        new_sides += (1 - new_sides) % factor
    if not keep_aspect_ratio:
        new_sides = tf.fill([2], tf.reduce_max(new_sides))
    return new_sides[0], new_sides[1]


def resize_to_range(image, label, resize):
    """Resizes image and label to `range_size`; without min_resize_value only the type of the image changes."""
    if resize.min_resize_value is None:
        return tf.cast(image, tf.float32), label
    shape = tf.shape(image)
    return resize_pair(image, label, range_size(shape[0], shape[1], resize))


def scale_choices(augment):
    """Returns the scales to choose from, (N,) float32, or None if any scale between the limits is allowed."""
    low, high, step = augment.min_scale_factor, augment.max_scale_factor, augment.scale_factor_step_size
    if low == high:
        return np.array([low], np.float32)
    if step == 0:
        return None
    count = int((high - low) / step + 1)
    scales = np.float32(low) + np.arange(count, dtype=np.float32) * np.float32((high - low) / max(count - 1, 1))
    scales[-1] = high if count > 1 else low
    return scales  # rounded as tf.linspace does


def random_scale(augment, seed):
    """Returns a random scale, float32 scalar. `seed`: (2,) int."""
    choices = scale_choices(augment)
    if choices is None:
        return tf.random.stateless_uniform((), seed, augment.min_scale_factor, augment.max_scale_factor)
    return tf.gather(choices, tf.random.stateless_uniform((), seed, 0, len(choices), tf.int32))


def scaled_size(height, width, scale):
    """Returns (height, width) after scaling, int32 tensors: rounded down, at least one pixel."""
    sides = tf.cast(tf.cast(tf.stack([height, width]), tf.float32) * scale, tf.int32)
    return tf.maximum(sides[0], 1), tf.maximum(sides[1], 1)


def scale_pair(image, label, scale):
    """Resizes image and label by `scale`."""
    shape = tf.shape(image)
    return resize_pair(image, label, scaled_size(shape[0], shape[1], scale))


def pad(image, label, size, pad_rgb, ignore_label):
    """Pads image and label, with `pad_rgb` and `ignore_label`, at the bottom and right to at least `size`."""
    shape = tf.shape(image)
    missing = tf.maximum(tf.convert_to_tensor(size) - shape[:2], 0)
    paddings = [[0, missing[0]], [0, missing[1]], [0, 0]]
    pixel = tf.cast(pad_rgb, image.dtype)
    image = tf.pad(image - pixel, paddings) + pixel
    return image, None if label is None else tf.pad(label, paddings, constant_values=ignore_label)


def random_offsets(height, width, size, seed):
    """Returns the (top, left) corner of a random crop of `size` from a padded image; int32 scalars."""
    room_y = tf.maximum(tf.cast(height, tf.int32) - size[0], 0) + 1
    room_x = tf.maximum(tf.cast(width, tf.int32) - size[1], 0) + 1
    seeds = tf.random.split(seed, 2)
    top = tf.random.stateless_uniform((), seeds[0], 0, room_y, tf.int32)
    return top, tf.random.stateless_uniform((), seeds[1], 0, room_x, tf.int32)


def train_pair(image, label, augment, drawn, crop):
    """Takes all steps of training as the reference does: resize, scale, pad, crop, flip.

    Args:
      image: (H, W, 3) uint8; label: (H, W, 1) uint8.
      augment: `AugmentConfig`.
      drawn: the random choices, a `sampling.Draw`.
      crop: ((height, width), pad_rgb, ignore_label).

    Returns:
      image (height, width, 3) float32 0..255, label (height, width, 1) uint8.
    """
    (height, width), pad_rgb, ignore_label = crop
    image, label = resize_to_range(image, label, augment)
    image, label = scale_pair(image, label, drawn.scale)
    image, label = pad(image, label, (height, width), pad_rgb, ignore_label)
    rows, columns = slice(drawn.top, drawn.top + height), slice(drawn.left, drawn.left + width)
    image, label = image[rows, columns], label[rows, columns]
    return tf.cond(drawn.flip, lambda: (image[:, ::-1], label[:, ::-1]), lambda: (image, label))


def eval_pair(image, label, resize, crop_size, pad_rgb, ignore_label):
    """Returns (image resized to range, the same padded to `crop_size`, padded label), as the reference evaluates."""
    original = image
    if resize.min_resize_value is not None:
        original, label = resize_to_range(image, label, resize)
    image, label = pad(tf.cast(original, tf.float32), label, crop_size, pad_rgb, ignore_label)
    return original, image, label
