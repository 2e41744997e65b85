"""Images to try an export with: from the data set if the user names one, else generated."""

import sys

import numpy as np
import tensorflow as tf

from deeplab.data import pipeline, source
from deeplab.data.channels import facts
from deeplab.data.channels.value_range import to_values

REPRESENTATIVE_IMAGES = 32  # int8 learns the range of every activation from so many images


def representative(network):
    """Returns a list of images (1, H, W, C) that int8 learns the ranges of activations from.

    Prints a warning if there are fewer than is usual: ranges of three photographs gave mIoU 0.04 in place of 0.64.
    """
    images = list(of_size(network, REPRESENTATIVE_IMAGES))
    if len(images) < REPRESENTATIVE_IMAGES:
        text = f"int8 learns its ranges from {len(images)} images, where {REPRESENTATIVE_IMAGES} are usual"
        print(f"warning: {text}; score the export with scripts/score_engines.py", file=sys.stderr, flush=True)
    return images


def of_size(network, count, size=None):
    """Yields up to `count` images (1, H, W, C) as the export takes them: uint8, or float32 with a range of values.

    Args:
      network: a `NetworkToExport`, whose options may name a data set.
      count: how many; a data set may have fewer.
      size: (height, width); None for the size of the export.
    """
    size = size or network.size
    images = _of_data_set(network) if network.config.dataset_dir else _generated(network, count)
    for _, image in zip(range(count), images, strict=False):
        resized = tf.image.resize(image[None], size, antialias=image.shape[0] > size[0])
        if network.loaded.dataset.value_range:
            yield resized.numpy()
        else:
            yield tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8).numpy()


def _of_data_set(network):
    """Yields the images (H, W, C) of the split that the options name."""
    config = network.config
    split = source.open_split(config.dataset_dir, config.split, config.dataset)
    facts.require_same(network.loaded.dataset, split.dataset, network.loaded.checkpoint, config.dataset_dir)
    for example in pipeline.eval_examples(split, with_labels=False, as_stored=True):
        yield example["image"]


def _generated(network, count):
    """Yields images (8, 8, C) of coloured noise, which is smooth once it is resized."""
    rng, values = np.random.default_rng(0), network.loaded.dataset.value_range
    for _ in range(count):
        pixels = rng.uniform(0, 255, (8, 8, network.loaded.dataset.num_channels)).astype(np.float32)
        yield to_values(pixels, values) if values else pixels
