"""Decodes records in the tf.data graph, with errors that name the file.

A record is a dict of tensors. It has "filename", "shard" and either "image" and "label", encoded bytes, or, if it comes
from the cache in memory, the decoded "size", "pixels" and "label_pixels".
"""

import contextlib
import re

import tensorflow as tf

from deeplab.data import sampling, shard_state, tfrecord
from deeplab.data.channels import graph
from deeplab.errors import UserError, one_line
from deeplab.pictures.images import MAX_PIXELS

_BEGIN, _END = "<bad record>", "</bad record>"
_LINTER = "deeplab check --dataset_dir=DIR lists every bad record"
_UNREADABLE = re.compile(r"JPEG|PNG|[Uu]nknown image|decode|Could not parse example|ParseExample|[Ii]mage contents")
_LOST = re.compile(r"No such file or directory|Permission denied|Input/output error|Stale file handle")


def _require(condition, *message):
    """Returns an op that fails unless `condition`, with a message that joins texts and scalar tensors."""
    parts = [
        part if isinstance(part, str) or part.dtype == tf.string else tf.strings.as_string(part) for part in message
    ]
    return tf.debugging.Assert(condition, [tf.strings.join([_BEGIN, *parts, _END])], summarize=1)


@contextlib.contextmanager
def user_errors(split):
    """Turns errors of the input graph that reads `split` into a `UserError`; loops over batches belong inside it."""
    try:
        yield
    except tf.errors.OpError as error:
        text = str(error)
        if _BEGIN in text:
            raise UserError(text[text.index(_BEGIN) + len(_BEGIN) : text.index(_END)]) from None
        if shard_state.DAMAGED.search(text):
            unknown = f"a record of {split.folder} was damaged when it was read and is whole now, so that reading fails"
            reason = shard_state.explain(split, text) or f"{unknown}; check the disk and the memory of this machine"
            raise UserError(f"{reason} ({_LINTER})") from None
        lost = next((path for path in split.paths if f"{path}; " in text), None)
        if lost and (why := _LOST.search(text)):
            raise UserError(f"{lost}: cannot be read any more: {why[0]}") from None
        if _UNREADABLE.search(text):
            cause = one_line(text.splitlines()[0], 200)
            raise UserError(f"a record is damaged or its image cannot be decoded ({cause}); {_LINTER}") from None
        raise
    except UnicodeDecodeError:  # TensorFlow tried to quote the damaged record in a message
        raise UserError(f"a record is damaged; {_LINTER}") from None


@contextlib.contextmanager
def reading(split):
    """Does what `user_errors` does; at the end of the `with`, it raises a UserError if a shard has been replaced."""
    with user_errors(split):
        yield
    shard_state.refuse_changed(split.states)


def check_record(record, dataset, with_label=True):
    """Checks that a record of a `catalog.Dataset` is complete and that image and label have one size.

    Returns:
      (height, width) of the image, int32 scalars, and the record. Its bytes depend on the checks in the graph, so
      that a bad record fails here and not in a decoder.
    """
    if "size" in record:
        return record["size"], record
    keys = {"image": tfrecord.IMAGE, "label": tfrecord.LABEL} if with_label else {"image": tfrecord.IMAGE}
    shard, name = record["shard"], record["filename"]
    present = [
        _require(tf.strings.length(record[part]) > 0, shard, ": record ", name, f" has no {key}; {_LINTER}")
        for part, key in keys.items()
    ]
    with tf.control_dependencies(present):
        encoded = {part: tf.identity(record[part]) for part in keys}
    known = [_require_form(part, key, encoded[part], (shard, ": record ", name), dataset) for part, key in keys.items()]
    with tf.control_dependencies(known):
        sizes = [_size_of(part)(tf.identity(record[part]), dataset) for part in keys]
    (height, width), (label_height, label_width) = sizes[0], sizes[-1]
    same = tf.logical_and(tf.equal(height, label_height), tf.equal(width, label_width))
    shown = (width, "x", height, ", its label ", label_width, "x", label_height)
    fits = _require(same, shard, ": ", name, " is ", *shown, f" (width x height); {_LINTER}")
    most = most_pixels(dataset)
    few = tf.cast(height, tf.int64) * tf.cast(width, tf.int64) <= most
    decodes = _require(few, shard, ": ", name, " is ", *shown[:3], f"; more than {most} pixels are refused")
    with tf.control_dependencies([fits, decodes]):
        return (tf.identity(height), tf.identity(width)), {**record, **{k: tf.identity(record[k]) for k in keys}}


def most_pixels(dataset):
    """Returns how many pixels an image of a `catalog.Dataset` may have: the usual limit, or what the builder took."""
    return max([MAX_PIXELS, *(height * width for height, width in dataset.largest_sizes.values())])


def _require_form(part, key, encoded, where, dataset):
    """Returns an op that fails unless the bytes of an image or a label have the form that the data set is stored in."""
    if part == "image" and dataset.stores_bands:
        _kind, height, width, channels = graph.header(encoded)
        fits = graph.is_bands(encoded) & (channels == dataset.num_channels) & (tf.minimum(height, width) > 0)
        return _require(fits, *where, f" has {key} that is no image of {dataset.num_channels} bands; {_LINTER}")
    known = sampling.is_jpeg(encoded) | sampling.is_png(encoded)
    return _require(known, *where, f" has {key} that is neither JPEG nor PNG; {_LINTER}")


def _size_of(part):
    return image_size if part == "image" else lambda encoded, _dataset: sampling.image_size(encoded)


def image_size(encoded, dataset):
    """Returns (height, width), int32 scalars, of the encoded image of a record of a `catalog.Dataset`."""
    return graph.size(encoded) if dataset.stores_bands else sampling.image_size(encoded)


def read_box(record, size, dataset):
    """Returns the function `read_box` that `sampling.sample_image` takes, for a record whose image has `size`."""
    if "pixels" in record:
        return lambda top, left, height, width: (record["pixels"], 0, 0)
    if dataset.stores_bands:
        return lambda top, left, height, width: (graph.pixels(record["image"], dataset), 0, 0)
    return sampling.jpeg_or_png_box(record["image"], size)


def whole_image(record, dataset, dct_method="", as_stored=False):
    """Returns the image of a record of a `catalog.Dataset`: (H, W, 3) uint8, or what `channels.graph` makes of it.

    Args:
      record, dataset: see above.
      dct_method: as in tf.io.decode_jpeg.
      as_stored: give the values of the record where the data set has a range of values, as exports take them.
    """
    if dataset.stores_bands:
        return (graph.decode if as_stored else graph.pixels)(record["image"], dataset)
    return tf.io.decode_jpeg(record["image"], 3, dct_method=dct_method)  # decodes PNGs as well


def whole_label(record, split):
    """Returns the labels (H, W) uint8 of a record: the values in the file, or `split.label_lookup` of them."""
    if "label_pixels" in record:
        return record["label_pixels"]
    label = tf.squeeze(tf.io.decode_png(record["label"], channels=1), -1)
    return label if split.label_lookup is None else tf.gather(split.label_lookup, tf.cast(label, tf.int32))


def check_labels(label, record, dataset):
    """Returns `label`; evaluating it fails if it holds a value that is neither a class nor the ignore label."""
    if dataset.num_classes > 255:
        return label  # every uint8 is a class
    outside = tf.logical_and(label >= dataset.num_classes, tf.not_equal(label, dataset.ignore_label))
    advice = f" is outside the classes 0 to {dataset.num_classes - 1} (ignore label {dataset.ignore_label}); {_LINTER}"
    illegal = tf.reduce_any(outside)
    worst = tf.cond(
        illegal, lambda: tf.cast(tf.reduce_max(tf.cast(outside, tf.uint8) * label), tf.int32), lambda: tf.constant(0)
    )
    with tf.control_dependencies(
        [_require(tf.logical_not(illegal), record["shard"], ": ", record["filename"], ": label value ", worst, advice)]
    ):
        return tf.identity(label)
