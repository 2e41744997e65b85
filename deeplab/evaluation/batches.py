"""The images of a split in padded batches."""

import numpy as np
import tensorflow as tf

from deeplab.data import augment, pipeline, sampling

_HEADERS = 2000  # that `trained_size` reads at most, which takes a few seconds
DCT_METHOD = "INTEGER_ACCURATE"  # decodes JPEGs as every other program does, so that exports score the same


def examples(split, resize=None):
    """Returns the dataset of `pipeline.eval_examples`: the images of a split once, in file order.

    Args:
      split: the `source.Split`.
      resize: the `ResizeConfig` that images and labels are resized by; None leaves them at their source size.
    """
    return pipeline.eval_examples(split, resize, dct_method=DCT_METHOD)


def largest_size(split, resize):
    """Returns the smallest (height, width) that holds every image of a split after resizing.

    Reads the sizes from the headers of the image files; no image is decoded.
    """
    return _largest(_sizes(split, resize, np.arange(len(split))))


def trained_size(split, resize):
    """Returns the smallest (height, width) that holds the images of a training split after resizing; None if unknown.

    The sizes come from dataset.json. Where they are not recorded or images are resized, the headers of at most 2000
    images are read, which are spread evenly over the split. Damaged records are passed over here: the training names
    them when it comes to them.
    """
    if resize.min_resize_value is None and split.name in split.dataset.largest_sizes:
        return split.dataset.largest_sizes[split.name]
    numbers = np.unique(np.linspace(0, len(split) - 1, min(len(split), _HEADERS)).astype(np.int64))
    size = _largest(_sizes(split, resize, numbers).ignore_errors())
    return None if size == (1, 1) else size


def _sizes(split, resize, numbers):
    """Returns the dataset of the (height, width) after resizing of the records with these numbers."""

    def size(number):
        height, width = sampling.image_size(split.record(number)["image"])
        return tf.stack(augment.range_size(height, width, resize))

    return tf.data.Dataset.from_tensor_slices(numbers.astype(np.int64)).map(size, tf.data.AUTOTUNE)


def _largest(sizes):
    return tuple(int(side) for side in sizes.reduce(tf.constant([1, 1]), tf.maximum))


def padded_batches(examples, size, batch_size, ignore_label):
    """Pads examples to one size and batches them.

    Every batch has the same shape, so that the network is traced only once. A short last batch is therefore filled with
    examples that have no pixels: their size is (0, 0), and their labels are ignored everywhere.

    Args:
      examples: tf.data.Dataset of dicts with `image` (H, W, 3) and what belongs to the image, e.g. `label` (H, W).
      size: (height, width) that images and labels are padded to; holds every image.
      batch_size: number of examples in a batch.
      ignore_label: what labels are padded with.

    Returns:
      A tf.data.Dataset of dicts: `image` (B, P, Q, 3); `sizes` (B, 2) int32, the height and width of each image before
      padding; the other entries of the examples, batched.
    """

    def pad(example):
        image = example["image"]
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        below, right = size[0] - height, size[1] - width
        padded = {**example, "image": tf.pad(image, [[0, below], [0, right], [0, 0]]), "sizes": [height, width]}
        padded["image"] = tf.ensure_shape(padded["image"], (*size, 3))
        if "label" in example:
            label = tf.pad(example["label"], [[0, below], [0, right]], constant_values=ignore_label)
            padded["label"] = tf.ensure_shape(label, size)
        return padded

    def fill(batch):
        missing = batch_size - tf.shape(batch["sizes"])[0]
        values = {"label": ignore_label, "source_label": ignore_label, "filename": ""}
        return {name: _fill(tensor, missing, batch_size, values.get(name, 0)) for name, tensor in batch.items()}

    return examples.map(pad, tf.data.AUTOTUNE).batch(batch_size).map(fill).prefetch(2)


def _fill(tensor, missing, batch_size, value):
    """Appends `missing` examples that hold nothing but `value`, so that the batch has `batch_size` examples."""
    margins = [[0, missing], *[[0, 0]] * (tensor.shape.rank - 1)]
    if tensor.dtype == tf.string:  # tf.pad takes no strings
        filled = tf.concat([tensor, tf.fill([missing], value)], axis=0)
    else:
        filled = tf.pad(tensor, margins, constant_values=tf.cast(value, tensor.dtype))
    return tf.ensure_shape(filled, (batch_size, *tensor.shape[1:]))
