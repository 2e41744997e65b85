"""The TFRecord files: keys of the reference's records, shards of a split, and where each record lies in them.

A shard is a sequence of records. Each consists of its length (uint64), the masked CRC of the length, the bytes, and the
masked CRC of the bytes. Reading only the lengths gives an index (shard, offset, length). With the index records can be
read in any order, and a shard that was cut off is found before anything else is done with it.
"""

import os
import re
import struct
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError
from deeplab.files import atomic

IMAGE = "image/encoded"  # JPEG or PNG bytes
FILENAME = "image/filename"  # without suffix
FORMAT = "image/format"
HEIGHT, WIDTH, CHANNELS = "image/height", "image/width", "image/channels"
LABEL = "image/segmentation/class/encoded"  # PNG with one channel: class ids and the ignore label
LABEL_FORMAT = "image/segmentation/class/format"

SHARD_NAME = re.compile(r"(?P<split>.+)-(?P<shard>\d{5})-of-(?P<count>\d{5})(\.tfrecord)?$")
_LENGTH = struct.Struct("<Q")
_LENGTH_BYTES, _CRC_BYTES = 8, 4


class Example(NamedTuple):
    """One image with its labels as builders write them, encoded."""

    filename: str  # without suffix
    image: bytes  # JPEG or PNG
    image_format: str  # "jpeg" or "png"
    label: bytes  # PNG, one channel
    height: int  # pixels
    width: int


def serialize(example):
    """Returns the tf.train.Example bytes of an `Example`, with the reference's keys."""
    texts = {
        IMAGE: example.image,
        FILENAME: example.filename.encode(),
        FORMAT: example.image_format.encode(),
        LABEL: example.label,
        LABEL_FORMAT: b"png",
    }
    numbers = {HEIGHT: example.height, WIDTH: example.width, CHANNELS: 3}
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text])) for key, text in texts.items()}
    for key, number in numbers.items():
        features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def parse(serialized):
    """Returns {"image", "label", "filename"} of a record, scalar string tensors; empty if the key is missing."""
    keys = {"image": IMAGE, "label": LABEL, "filename": FILENAME}
    missing = tf.io.FixedLenFeature((), tf.string, default_value="")
    features = tf.io.parse_single_example(serialized, dict.fromkeys(keys.values(), missing))
    return {name: features[key] for name, key in keys.items()}


def shard_name(split, shard, count):
    """Returns the file name of shard `shard` (from 0) of `count`."""
    return f"{split}-{shard:05d}-of-{count:05d}.tfrecord"


def value(example, key):
    """Returns the first value under `key` of a tf.train.Example, bytes or int; b"" if there is none."""
    values = example.features.feature[key]
    values = values.bytes_list.value or values.int64_list.value
    return values[0] if values else b""


def all_shards(dataset_dir):
    """Returns {split: [paths of all files named like its shards]}; raises a UserError if there is no such folder."""
    if not dataset_dir:
        raise UserError("--dataset_dir is not given: expected the folder that a datasets/build_*.py script wrote")
    if not tf.io.gfile.isdir(dataset_dir):
        raise UserError(f"--dataset_dir={dataset_dir}: no such folder; build it with datasets/build_*.py")
    found = {}
    for name in sorted(tf.io.gfile.listdir(dataset_dir)):
        match = SHARD_NAME.fullmatch(name)
        if match and not name.startswith(atomic.UNFINISHED):
            found.setdefault(match["split"], []).append(tf.io.gfile.join(dataset_dir, name))
    return found


def splits(dataset_dir):
    """Returns {split: [paths of its shards, in order]} of a folder; raises a UserError if there is no such folder.

    While a build renumbers shards, and if it is interrupted then, shards of two numberings lie there. Those that are
    complete are the split; of two complete numberings the larger one, to which shards were added.
    """
    return {split: _complete(paths) for split, paths in all_shards(dataset_dir).items()}


def _complete(paths):
    """Returns those `paths` whose names say that there are just so many; all if there are no such."""
    numberings = {}
    for path in paths:
        numberings.setdefault(int(_parts(path)["count"]), []).append(path)
    complete = [count for count, same in numberings.items() if count == len(same)]
    return numberings[max(complete)] if complete else paths


def _parts(path):
    return SHARD_NAME.fullmatch(os.path.basename(path))


def left_over(dataset_dir, split):
    """Returns a line about shards that are not read, as another numbering of the split is complete; "" without any."""
    present = all_shards(dataset_dir)[split]
    others = sorted(set(present) - set(_complete(present)))
    return f"{others[0]}: {len(others)} shards beside a complete split are not read; remove them" if others else ""


def shards(dataset_dir, split):
    """Returns the paths of the shards of `split`, in order.

    Raises:
      UserError: the folder is missing or has no shards, the split does not exist, or some of its shards are missing.
    """
    found = splits(dataset_dir)
    if not found:
        raise UserError(f"--dataset_dir={dataset_dir}: no *.tfrecord shards in it; build them with datasets/build_*.py")
    if split not in found:
        raise UserError(f"split {split!r} does not exist in {dataset_dir}: expected one of {', '.join(sorted(found))}")
    counts = {_parts(path)["count"] for path in found[split]}
    if len(counts) > 1 or int(next(iter(counts))) != len(found[split]):
        raise UserError(
            f"{dataset_dir}: split {split!r} has {len(found[split])} shards, their names say {' and '.join(counts)}; "
            "some are missing or left over from another build: build the split again"
        )
    return found[split]


def index(paths):
    """Returns (N, 3) int64: shard number, offset and length in bytes of the content of every record, in file order.

    Raises:
      UserError: a shard ends in the middle of a record, or is no TFRecord file.
    """
    rows = []
    for shard, path in enumerate(paths):
        rows += [(shard, offset, length) for offset, length in _records(path)]
    return np.array(rows, np.int64).reshape(-1, 3)


def _records(path):
    size = tf.io.gfile.stat(path).length
    local = os.path.exists(path)
    with open(path, "rb") if local else tf.io.gfile.GFile(path, "rb") as file:
        position, number = 0, 0
        while position < size:
            file.seek(position)
            header = file.read(_LENGTH_BYTES + _CRC_BYTES)
            start = position + _LENGTH_BYTES + _CRC_BYTES
            length = _LENGTH.unpack(header[:_LENGTH_BYTES])[0] if start <= size else size
            position = start + length + _CRC_BYTES
            if position > size:
                raise UserError(
                    f"{path}: damaged or cut off in record {number}, at byte {start} of {size}; "
                    "copy the file again or build the split again"
                )
            yield start, length
            number += 1


def read_record(path, offset, length):
    """Returns the `length` bytes at `offset` of the file `path`, a scalar string tensor, as are the arguments.

    This runs Python, which takes 0.4 ms for a record, and one record is read at a time. So the graph cannot be run on
    another machine; see `read_record_in_graph`.
    """
    record = tf.numpy_function(_read, [path, offset, length], tf.string)
    record.set_shape(())
    return record


def _read(path, offset, length):
    path = path.decode()
    with open(path, "rb") if os.path.exists(path) else tf.io.gfile.GFile(path, "rb") as file:
        file.seek(int(offset))
        return file.read(int(length))


def read_record_in_graph(path, offset):
    """Returns the record whose content begins at `offset` of the file `path`, without Python.

    So another machine can run the graph, and several records are read at a time.
    """
    begin = tf.reshape(offset - _LENGTH_BYTES - _CRC_BYTES, (1,))  # of the length, which the file has before the record
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=path[tf.newaxis], compression_type="", buffer_size=tf.constant(0, tf.int64), byte_offsets=begin
    )
    kind = {"output_types": [tf.string], "output_shapes": [()]}
    first = tf.raw_ops.TakeDataset(input_dataset=records, count=tf.constant(1, tf.int64), **kind)
    return tf.raw_ops.DatasetToSingleElement(dataset=first, **kind)[0]
