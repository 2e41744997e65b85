"""Images to try an export with: those of a data set where one is given, else generated."""

import numpy as np
import tensorflow as tf

from deeplab.data import pipeline, source


def of_size(exported, count, size=None):
    """Yields up to `count` images (1, H, W, 3) uint8 of `size` (height, width), by default that of the export."""
    size = size or exported.size
    images = _of_data_set(exported.config) if exported.config.dataset_dir else _generated(count)
    for _, image in zip(range(count), images, strict=False):
        resized = tf.image.resize(image[None], size, antialias=image.shape[0] > size[0])
        yield tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8).numpy()


def _of_data_set(config):
    split = source.open_split(config.dataset_dir, config.split, config.dataset)
    for example in pipeline.eval_examples(split, with_labels=False):
        yield example["image"]


def _generated(count):
    """Yields smooth coloured noise."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.uniform(0, 255, (8, 8, 3)).astype(np.float32)
