"""The input pipeline: turns a split into training batches, or into single images to evaluate.

`train_batches` is random, endless and a pure function of (seed, step). `eval_examples` gives every image of the split
once, at its own size; inference pads the images.

    split = open_split(dataset_dir, "train")
    batches = train_batches(split, AugmentConfig(), Batches((513, 513), 8, backbone.pad_rgb, seed=0), start_step=step)
    for images, labels, filenames in batches: ...
"""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.config.data import ResizeConfig
from deeplab.data import photometric, records, sampling, service
from deeplab.data.augment import resize_to_range
from deeplab.errors import UserError
from deeplab.layers import hardware

_ENDLESS = 2**62


@dataclasses.dataclass(frozen=True)
class Batches:
    """What a training batch looks like, and which part of it this host feeds.

    Of each batch, host `host` of `hosts` gets block number `host` of batch_size / hosts images, so that the global
    batch does not depend on the number of hosts.

    Attributes:
      crop_size: (height, width) of the images.
      batch_size: images of all hosts together.
      pad_rgb: the pixel, in [0, 255], that images are padded with.
      seed: of the order and the augmentation.
      host: number of this host, from 0.
      hosts: number of hosts.

    Raises:
      UserError: the batch cannot be divided among the hosts.
    """

    crop_size: tuple[int, int]
    batch_size: int
    pad_rgb: tuple[float, ...]
    seed: int = 0
    host: int = 0
    hosts: int = 1

    def __post_init__(self):
        if self.batch_size % self.hosts:
            raise UserError(f"batch_size={self.batch_size}: expected a multiple of the number of hosts, {self.hosts}")


def train_batches(split, augment, batches, start_step=0, cache=False, data_service=()):
    """Returns an endless dataset of (images, labels, filenames) for the steps start_step, start_step + 1, ...

    images: (B, H, W, C) uint8, or float32 in [0, 255] of a data set with a range of values; labels: (B, H, W) uint8
    with the data set's ignore label; filenames: (B,) string, for messages. B is this host's share.

    Example i of the stream, where i = step * batch_size + place in the batch, is record shuffle(seed, epoch)[i mod N]
    of the N records, augmented with the seed (seed, i). A training that is resumed at any step therefore sees the
    examples that it would have seen without the interruption.

    Args:
      split: the `Split` to read.
      augment: `AugmentConfig`.
      batches: `Batches`.
      start_step: the step whose batch comes first.
      cache: whether to keep all decoded images in memory.
      data_service: addresses of hosts that prepare the batches in turn; see `service`.
    """
    if data_service:
        hosts = len(data_service)
        streams = service.distributed_batches(
            lambda host: batch_stream(split, augment, batches, start_step + host, split.record, stride=hosts),
            data_service,
        )
        return devices.untuned(streams)
    load = _cached(split) if cache else split.record
    stream = devices.untuned(batch_stream(split, augment, batches, start_step, load).prefetch(tf.data.AUTOTUNE))
    return stream.with_options(_own_threads()) if hardware.is_accelerated() else stream


def _own_threads():
    """Returns the options that give a dataset threads of its own.

    The threads that TensorFlow shares otherwise also tell a GPU what to do next. Behind a decoder, that would wait.
    """
    options = tf.data.Options()
    options.threading.private_threadpool_size = os.cpu_count() or 1
    return options


def batch_stream(split, augment, batches, start_step, load, stride=1):
    """Returns the dataset of `train_batches` for the steps start_step, start_step + stride, ...

    Args:
      split, augment, batches, start_step: as in `train_batches`.
      load: function that maps the number of a record, an int64 scalar tensor, to the record; see `records`.
      stride: distance of the steps.
    """
    share = batches.batch_size // batches.hosts
    example = _example_function(split, augment, batches, load)

    def stream_position(count):
        step = start_step + count // share * stride
        return step * batches.batch_size + batches.host * share + count % share

    examples = tf.data.Dataset.range(_ENDLESS).map(stream_position)
    # A number, since the autotuner, which would choose it, is off.
    examples = examples.map(example, num_parallel_calls=os.cpu_count() or 1, deterministic=True)
    return examples.batch(share, drop_remainder=True)


def _example_function(split, augment, batches, load):
    total, ignore = len(split), split.dataset.ignore_label
    size = tuple(batches.crop_size)

    @tf.autograph.experimental.do_not_convert
    def example(position):
        """Maps a position in the stream, an int64 scalar, to (image, label, file name)."""
        epoch = position // total
        shuffle_seed = tf.stack([tf.constant(batches.seed, tf.int64), epoch])
        number = tf.random.experimental.index_shuffle(position % total, shuffle_seed, total - 1)
        record = load(number)
        seeds = tf.random.split(tf.stack([tf.constant(batches.seed, tf.int64), position]), 3)
        orientation = photometric.draw_orientation(augment, seeds[2])
        crop = photometric.size_before(size, orientation)
        image, label, flip = sample_pair(record, split, augment, crop, seeds[0])
        image = photometric.recolor(image, augment, seeds[1])
        image = image if split.dataset.value_range else sampling.to_uint8(image)
        image, label = sampling.pad_crop(image, label, crop, flip, batches.pad_rgb, ignore)
        image, label = photometric.orient(image, label, orientation)
        if augment.rotation_degrees:
            image, label = photometric.rotate(image, label, augment, batches.pad_rgb, ignore, seeds[2])
        image.set_shape((*size, split.dataset.num_channels))
        label.set_shape(size)
        return image, label, record["filename"]

    return example


def sample_pair(record, split, augment, crop_size, seed):
    """Draws the crop of a record at random and samples it, without padding.

    Returns:
      image (h, w, C) float32 in [0, 255], label (h, w) uint8, and whether they are mirrored, a bool scalar tensor.
    """
    size, record = records.check_record(record, split.dataset)
    drawn, rows, columns = sampling.draw(size, crop_size, augment, seed)
    resizes = augment.min_resize_value is not None
    image = sampling.sample_image(records.read_box(record, size, split.dataset), rows, columns, drawn.flip, resizes)
    label = sampling.sample_label(records.whole_label(record, split), rows, columns, drawn.flip)
    return image, records.check_labels(label, record, split.dataset), drawn.flip


def _cached(split):
    """Decodes the whole split into memory; returns the function that maps a number to a record in memory."""
    pixels, labels, sizes, names = [], [], [], []
    for record in eval_examples(split):
        pixels.append(tf.reshape(record["image"], (-1,)))
        labels.append(tf.cast(tf.reshape(record["label"], (-1,)), tf.uint8))
        sizes.append(tf.shape(record["label"]))
        names.append(record["filename"])
    channels = split.dataset.num_channels
    areas = [int(size[0]) * int(size[1]) for size in sizes]
    starts = tf.constant([sum(areas[:i]) for i in range(len(areas))], tf.int64)
    pixels, labels, sizes, names = tf.concat(pixels, 0), tf.concat(labels, 0), tf.stack(sizes), tf.stack(names)

    def load(number):
        height, width = tf.unstack(sizes[number])
        start, area = starts[number], tf.cast(height * width, tf.int64)
        return {
            "filename": names[number],
            "shard": tf.constant("memory"),
            "size": (height, width),
            "pixels": tf.reshape(pixels[start * channels : (start + area) * channels], (height, width, channels)),
            "label_pixels": tf.reshape(labels[start : start + area], (height, width)),
        }

    return load


def eval_examples(split, resize=None, numbers=None, with_labels=True, checked=True, dct_method="", as_stored=False):
    """Returns a dataset of the images of a split, not padded.

    Args:
      split: the `Split` to read.
      resize: `ResizeConfig`; None keeps the size that the images have in the data set.
      numbers: which records, and in which order; None gives all of them in file order.
      with_labels: whether labels are read, too.
      checked: whether label values outside the classes are an error.
      dct_method: "INTEGER_ACCURATE" decodes JPEGs as other programs do; TensorFlow's default, which the reference uses,
        is up to 15 grey levels off.
      as_stored: whether images of a data set with a range of values keep their values, as exports take them.

    Returns:
      A tf.data.Dataset of dicts: "image" (H, W, C) uint8, or float32 if resized or with a range of values; "label"
      (H, W) int32; if resized "source_label" (height, width) int32, which is not; "filename"; "height" and "width" in
      the data set.
    """
    resize = resize or ResizeConfig()

    @tf.autograph.experimental.do_not_convert
    def example(record):
        decoded = _decoded(record, split, with_labels, dct_method, as_stored)
        if with_labels and checked:
            decoded["label"] = records.check_labels(decoded["label"], record, split.dataset)
        image, label = decoded["image"], decoded.get("label")
        result = {name: decoded[name] for name in ("filename", "height", "width")}
        if resize.min_resize_value is not None:
            if label is not None:
                result["source_label"] = tf.cast(label, tf.int32)
            image, label = resize_to_range(image, None if label is None else label[..., tf.newaxis], resize)
            label = None if label is None else label[..., 0]
        result["image"] = tf.ensure_shape(image, (None, None, split.dataset.num_channels))
        if label is not None:
            result["label"] = tf.cast(label, tf.int32)
        return result

    chosen = tf.data.Dataset.from_tensor_slices(np.arange(len(split)) if numbers is None else np.int64(numbers))
    found = chosen.map(split.record, num_parallel_calls=2)
    return devices.untuned(found.map(example, num_parallel_calls=os.cpu_count() or 1).prefetch(2))


def refuse_unlabelled(split):
    """Raises a UserError if no pixel of a split has a class; reads labels only until one has such a pixel."""

    def has_class(number):
        _size, record = records.check_record(split.record(number), split.dataset)
        return tf.reduce_any(tf.not_equal(records.whole_label(record, split), split.dataset.ignore_label))

    found = devices.untuned(tf.data.Dataset.range(len(split))).map(has_class, num_parallel_calls=2).filter(tf.identity)
    with records.user_errors(split):
        if any(found.take(1)):
            return
    raise UserError(
        f"split {split.name!r} of {split.folder}: all pixels of its {len(split)} labels have the ignore label "
        f"{split.dataset.ignore_label}, so that there is nothing to learn or to score; name another split, or build it "
        "again with labels"
    )


def _decoded(record, split, with_labels, dct_method, as_stored):
    (height, width), record = records.check_record(record, split.dataset, with_labels)
    image = records.whole_image(record, split.dataset, dct_method, as_stored)
    decoded = {"filename": record["filename"], "height": height, "width": width, "image": image}
    if with_labels:
        decoded["label"] = records.whole_label(record, split)
    return decoded
