"""The images of a split in batches. The images of one batch need no more padding than each of them needs alone."""

import itertools
import math
import os

import numpy as np
import tensorflow as tf

from deeplab.data import augment, pipeline, records

_HEADERS = 2000  # that `trained_size` reads at most, which takes a few seconds
DCT_METHOD = "INTEGER_ACCURATE"  # decodes JPEGs as every other program does, so that exports score the same


def examples(split, resize=None, numbers=None, as_stored=False):
    """Returns the dataset of `pipeline.eval_examples`: the images of a split once.

    Args:
      split: the `source.Split`.
      resize: the `ResizeConfig` that images and labels are resized by; None leaves them at their source size.
      numbers: which records, and in which order; None gives all of them in file order.
      as_stored: whether images of a data set with a range of values keep their values, as exports take them.
    """
    return pipeline.eval_examples(split, resize, numbers, dct_method=DCT_METHOD, as_stored=as_stored)


def image_sizes(split, resize):
    """Returns the sizes of the images of a split, two (N, 2) arrays of (height, width): in the data set, and resized.

    Reads the sizes from the headers of the image files; no image is decoded.
    """
    found = _sizes(split, resize, np.arange(len(split))).batch(len(split))
    with records.user_errors(split):
        return tuple(array.numpy() for array in found.get_single_element())


def trained_size(split, resize):
    """Returns the smallest (height, width) that holds the images of a training split after resizing; None if unknown.

    The sizes come from dataset.json. Where they are not recorded or images are resized, the headers of at most 2000
    images are read, which are spread evenly over the split. Damaged records are passed over here: the training names
    them when it comes to them.
    """
    recorded = [split.dataset.largest_sizes.get(name) for name in split.name.split(",")]  # of all joined splits
    if resize.min_resize_value is None and all(recorded):
        return tuple(max(sides) for sides in zip(*recorded, strict=True))
    numbers = np.unique(np.linspace(0, len(split) - 1, min(len(split), _HEADERS)).astype(np.int64))
    seen = _sizes(split, resize, numbers).map(lambda _source, resized: resized).ignore_errors()
    size = tuple(int(side) for side in seen.reduce(tf.constant([0, 0]), tf.maximum))
    return size if all(size) else None


def _sizes(split, resize, numbers):
    """Returns the dataset of two (height, width) for each of these records: in the data set, and resized."""

    def sizes(number):
        height, width = records.image_size(split.record(number)["image"], split.dataset)
        return tf.stack([height, width]), tf.stack(augment.range_size(height, width, resize))

    return tf.data.Dataset.from_tensor_slices(numbers.astype(np.int64)).map(sizes, tf.data.AUTOTUNE)


def plan(shapes, batch_size, in_order=False):
    """Divides images among batches whose images are alike in shape.

    Args:
      shapes: a tuple of ints for each image; images with equal tuples may share a batch.
      batch_size: function from the shape to the most images in a batch.
      in_order: keep the order of the images, so that only neighbours share a batch. Otherwise all images of a shape
        come together; the largest come first, so that a lack of memory shows at once.

    Returns:
      A list of batches, each a list of numbers of images.
    """
    numbers = range(len(shapes))
    order = numbers if in_order else sorted(numbers, key=lambda number: shapes[number], reverse=True)
    alike = [list(run) for _shape, run in itertools.groupby(order, key=lambda number: shapes[number])]
    most = [batch_size(shapes[run[0]]) for run in alike]
    return [run[i : i + size] for run, size in zip(alike, most, strict=True) for i in range(0, len(run), size)]


def padded_batches(examples, counts, padded_size, ignore_label, fillers=0):
    """Pads examples and batches them.

    Args:
      examples: tf.data.Dataset of dicts with `image` (H, W, 3) and `label` (H, W), and what belongs to the image.
      counts: the number of examples in each batch. Examples of a batch are padded alike.
      padded_size: function from the sides of an image, int32 scalars, to the (height, width) it is padded to.
      ignore_label: what labels are padded with.
      fillers: number of batches to append that hold one image without pixels, whose size is (0, 0). They are for
        devices that would otherwise have nothing to do while others have a batch.

    Returns:
      A tf.data.Dataset of dicts: `image` (B, P, Q, 3) and `label` (B, P, Q); `sizes` (B, 2) int32, the height and width
      of each image before padding; the other entries of the examples, batched.
    """

    def pad(batch, example):
        height, width = tf.shape(example["image"])[0], tf.shape(example["image"])[1]
        size = padded_size(height, width)
        margins = [[0, size[0] - height], [0, size[1] - width]]
        image = tf.pad(example["image"], [*margins, [0, 0]])
        label = tf.pad(example["label"], margins, constant_values=ignore_label)
        shape = [side if isinstance(side, int) else None for side in size]
        channels = example["image"].shape[-1]
        image, label = tf.ensure_shape(image, (*shape, channels)), tf.ensure_shape(label, shape)
        return batch, {**example, "image": image, "label": label, "sizes": tf.stack([height, width])}

    numbers = tf.data.Dataset.from_tensor_slices(np.repeat(np.arange(len(counts)), counts))
    batches = tf.data.Dataset.zip(numbers, examples).map(pad, os.cpu_count() or 1)
    batches = batches.group_by_window(  # the examples of a batch are neighbours, so no more than a batch is in memory
        lambda batch, _example: batch,
        lambda _batch, window: window.map(lambda _batch, example: example).batch(max(counts)),
        window_size_func=lambda batch: tf.gather(np.int64(counts), batch),
    )
    if fillers:
        filler = tf.data.Dataset.from_tensors(_filler(batches.element_spec, padded_size, ignore_label))
        batches = batches.concatenate(filler.repeat(fillers))
    return batches.prefetch(2)


def pixels(batch):
    """Returns the number of pixels of all images in a batch of `padded_batches`, with their padding."""
    return math.prod(batch["image"].shape[:3])


def _filler(spec, padded_size, ignore_label):
    """Returns a batch that holds one image without pixels; its shapes fit the `spec` of the other batches."""
    height, width = padded_size(1, 1)
    channels = spec["image"].shape[-1]
    shapes = {
        "image": (1, height, width, channels),
        "label": (1, height, width),
        "source_label": (1, 1, 1),
        "sizes": (1, 2),
    }
    values = {"label": ignore_label, "source_label": ignore_label, "filename": ""}
    return {
        name: tf.cast(tf.fill(shapes.get(name, (1,)), values.get(name, 0)), tensor.dtype)
        if tensor.dtype != tf.string
        else tf.fill((1,), "")
        for name, tensor in spec.items()
    }
