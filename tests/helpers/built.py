"""What a builder has written, read again."""

import numpy as np
import tensorflow as tf

from deeplab.data import tfrecord
from deeplab.data.building import label_rules


def labels(shards, split="train"):
    """Returns {name: labels (H, W)} of a split in a folder of shards."""
    found = {}
    for path in tfrecord.shards(str(shards), split):
        for raw in tfrecord.read_all(path, tfrecord.scan(path).rows):
            example = tf.train.Example.FromString(raw)
            name = tfrecord.value(example, tfrecord.FILENAME).decode()
            found[name] = np.asarray(label_rules.open_image(tfrecord.value(example, tfrecord.LABEL)))
    return found
