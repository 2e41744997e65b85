"""Images to try an export with: from the data set if the user names one, else generated."""

import sys

import numpy as np
import tensorflow as tf

from deeplab.data import pipeline, source

REPRESENTATIVE_IMAGES = 32  # int8 learns the range of every activation from so many images


def representative(network):
    """Returns a list of images (1, H, W, 3) uint8 that int8 learns the ranges of activations from.

    Prints a warning if there are fewer than is usual: ranges of three photographs gave mIoU 0.04 in place of 0.64.
    """
    images = list(of_size(network, REPRESENTATIVE_IMAGES))
    if len(images) < REPRESENTATIVE_IMAGES:
        text = f"int8 learns its ranges from {len(images)} images, where {REPRESENTATIVE_IMAGES} are usual"
        print(f"warning: {text}; score the export with scripts/score_engines.py", file=sys.stderr, flush=True)
    return images


def of_size(network, count, size=None):
    """Yields up to `count` images (1, H, W, 3) uint8.

    Args:
      network: a `NetworkToExport`, whose options may name a data set.
      count: how many; a data set may have fewer.
      size: (height, width); None for the size of the export.
    """
    size = size or network.size
    images = _of_data_set(network.config) if network.config.dataset_dir else _generated(count)
    for _, image in zip(range(count), images, strict=False):
        resized = tf.image.resize(image[None], size, antialias=image.shape[0] > size[0])
        yield tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8).numpy()


def _of_data_set(config):
    """Yields the images (H, W, 3) of the split that the options name."""
    split = source.open_split(config.dataset_dir, config.split, config.dataset)
    for example in pipeline.eval_examples(split, with_labels=False):
        yield example["image"]


def _generated(count):
    """Yields images (8, 8, 3) of coloured noise, which is smooth once it is resized."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.uniform(0, 255, (8, 8, 3)).astype(np.float32)
