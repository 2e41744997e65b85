"""Segments several photographs at once, as a batch, with the labels that each of them gets alone."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data.channels.value_range import to_pixels
from deeplab.inference import input_size


class Batched(NamedTuple):
    """How a network segments several images at once.

    Attributes:
      key: (height, width) -> what images that share a batch have in common.
      start: images (H, W, 3) uint8 with one key -> a function that returns the labels (H, W) int32 of each as a list. A
        GPU may still compute them when `start` returns.
    """

    key: Callable[[int, int], Hashable]
    start: Callable[[Sequence[np.ndarray]], Callable[[], list[np.ndarray]]]


def image_spec(num_channels, count=None, value_range=()):
    """Returns the tf.TensorSpec of images of any size: uint8, or float32 where they have a range of values.

    Args:
      num_channels: as in the `ModelConfig`.
      count: number of images; None for any number.
      value_range: as in `catalog.Dataset`.
    """
    kind = tf.float32 if value_range else tf.uint8
    return tf.TensorSpec((count, None, None, num_channels), kind)


def of_predictor(predictor, seen, value_range=()):
    """Returns the `Batched` of a `Predictor` behind an `InputSize`, for a data set with this range of values.

    Images that are padded to the same size share a batch. An image that is resized only shares it with images of its
    own size.
    """

    def padded_size(height, width):
        return predictor.padded_side(height, 0), predictor.padded_side(width, 1)

    def key(height, width):
        return (height, width) if seen.resizes(height, width) else ("padded", *padded_size(height, width))

    any_size = image_spec(predictor.config.num_channels, value_range=value_range)

    @tf.function(input_signature=[any_size, tf.TensorSpec((None, 2), tf.int32)])
    def padded(images, sizes):
        return predictor.on_padded(images, sizes)[0]

    @tf.function(input_signature=[any_size])
    def resized(images):
        return input_size.segment(predictor, images, seen)[0]

    def start(images):
        images = [to_pixels(image, value_range) for image in images] if value_range else images
        height, width = images[0].shape[:2]
        if seen.resizes(height, width):
            return _fetch(resized(np.stack(images)), images)
        channels, kind = images[0].shape[-1], any_size.dtype.as_numpy_dtype
        batch = np.zeros((len(images), *padded_size(height, width), channels), kind)
        for place, image in zip(batch, images, strict=True):
            place[: image.shape[0], : image.shape[1]] = image
        return _fetch(padded(batch, np.array([image.shape[:2] for image in images], np.int32)), images)

    return Batched(key, start)


def of_export(export):
    """Returns the `Batched` of an `Export`, for images of one size; None if it takes one image at a time."""
    if not export.takes_batches:
        return None
    return Batched(
        lambda height, width: (height, width), lambda images: _fetch(export.labels(np.stack(images)), images)
    )


def _fetch(labels, images):
    """Returns the function that waits for labels (B, P, Q) and cuts off the padding of the images."""
    sizes = [image.shape[:2] for image in images]  # the function does not keep the images
    return lambda: [one[:height, :width] for one, (height, width) in zip(labels.numpy(), sizes, strict=True)]
