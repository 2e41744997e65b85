"""The TFRecord files: keys of the reference's records, shards of a split, and where each record lies in them.

A shard is a sequence of records. Each consists of its length (uint64), the masked CRC of the length, the bytes, and the
masked CRC of the bytes. Reading only the lengths gives an index (shard, offset, length). With the index records can be
read in any order, and a shard that was cut off is found before anything else is done with it. Whoever reads a record
checks both checksums of it.
"""

import hashlib
import os
import re
import struct
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.data import checksums
from deeplab.errors import UserError
from deeplab.files import atomic, paths

IMAGE = "image/encoded"  # JPEG or PNG bytes, or as in `channels.stored`
FILENAME = "image/filename"  # without suffix
FORMAT = "image/format"
HEIGHT, WIDTH, CHANNELS = "image/height", "image/width", "image/channels"
LABEL = "image/segmentation/class/encoded"  # PNG with one channel: class ids and the ignore label
LABEL_FORMAT = "image/segmentation/class/format"

SHARD_NAME = re.compile(r"(?P<split>.+)-(?P<shard>\d{5})-of-(?P<count>\d{5})(\.tfrecord)?$")
_HEADER = struct.Struct("<QI")  # the length of a record, and the masked CRC of the length
_LENGTH_BYTES, _CRC_BYTES, _HEADER_BYTES = 8, 4, 12
WAY_OUT = "copy the file again or build the split again"


class Example(NamedTuple):
    """One image with its labels as builders write them, encoded."""

    filename: str  # without suffix
    image: bytes  # JPEG or PNG, or as in `channels.stored`
    image_format: str  # "jpeg" or "png", or as in `channels.stored`
    label: bytes  # PNG, one channel
    height: int  # pixels
    width: int
    channels: int = 3


def serialize(example):
    """Returns the tf.train.Example bytes of an `Example`, with the reference's keys."""
    texts = {
        IMAGE: example.image,
        FILENAME: example.filename.encode(),
        FORMAT: example.image_format.encode(),
        LABEL: example.label,
        LABEL_FORMAT: b"png",
    }
    numbers = {HEIGHT: example.height, WIDTH: example.width, CHANNELS: example.channels}
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
        raise UserError("--dataset_dir is not given: expected the folder that deeplab build wrote")
    if not tf.io.gfile.isdir(dataset_dir):
        raise UserError(f"--dataset_dir={dataset_dir}: no such folder; build it with deeplab build")
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
        raise UserError(f"--dataset_dir={dataset_dir}: no *.tfrecord shards in it; build them with deeplab build")
    if split not in found:
        raise UserError(f"split {split!r} does not exist in {dataset_dir}: expected one of {', '.join(sorted(found))}")
    counts = {_parts(path)["count"] for path in found[split]}
    if len(counts) > 1 or int(next(iter(counts))) != len(found[split]):
        raise UserError(
            f"{dataset_dir}: split {split!r} has {len(found[split])} shards, their names say {' and '.join(counts)}; "
            "some are missing or left over from another build: build the split again"
        )
    return found[split]


class Contents(NamedTuple):
    """What the lengths and checksums of a shard tell, without its images.

    Attributes:
      rows: (N, 2) int64: offset and length in bytes of the content of every record, in file order.
      size: bytes of the file.
      digest: hash of the lengths and the checksums of all records, so that another content gives another digest.
    """

    rows: np.ndarray
    size: int
    digest: str


def index(paths):
    """Returns (N, 3) int64: shard number, offset and length in bytes of the content of every record, in file order.

    Raises:
      UserError: as `scan`.
    """
    return join([scan(path) for path in paths])


def join(contents):
    """Returns what `index` returns for shards of these `Contents`."""
    numbered = [np.insert(found.rows, 0, shard, axis=1) for shard, found in enumerate(contents)]
    return np.concatenate([np.zeros((0, 3), np.int64), *numbered])


def scan(path):
    """Returns the `Contents` of a shard; the lengths of its records are checked, their bytes are not read.

    Raises:
      UserError: a length does not fit its checksum, the shard ends in the middle of a record, or is no TFRecord file.
    """
    size, rows, digest = tf.io.gfile.stat(path).length, [], hashlib.blake2b(digest_size=16)
    with paths.open_regular(path) as file:
        header, start = file.read(_HEADER_BYTES), _HEADER_BYTES
        while start - _HEADER_BYTES < size:
            whole = len(header) == _HEADER_BYTES
            length, checksum = _HEADER.unpack(header) if whole else (size, 0)
            if whole and checksum != checksums.of_length(header[:_LENGTH_BYTES]):
                kind = "" if rows else ", or this is no TFRecord file"
                raise UserError(_damaged(path, len(rows), f"its length does not fit the checksum of the length{kind}"))
            if start + length + _CRC_BYTES > size:
                raise UserError(
                    f"{path}: damaged or cut off in record {len(rows)}, at byte {start} of {size}; {WAY_OUT}"
                )
            file.seek(start + length)
            end = file.read(_CRC_BYTES + _HEADER_BYTES)  # of this record and, in the same read, the next one's header
            digest.update(header[:_LENGTH_BYTES] + end[:_CRC_BYTES])
            rows.append((start, length))
            header, start = end[_CRC_BYTES:], start + length + _CRC_BYTES + _HEADER_BYTES
    return Contents(np.array(rows, np.int64).reshape(-1, 2), size, digest.hexdigest())


def _damaged(path, number, why):
    return f"{path}: damaged in record {number} (counted from 0): {why}; {WAY_OUT}"


def damaged_bytes(path, number):
    """Returns the sentence about a record whose bytes do not fit their checksum."""
    return _damaged(path, number, "its bytes do not fit their checksum")


def read_all(path, rows):
    """Yields the bytes of every record of a shard, None for a record whose bytes do not fit their checksum.

    Args:
      path: the shard.
      rows: its `Contents.rows`.
    """
    places = devices.untuned(tf.data.Dataset.from_tensor_slices(rows))
    records = iter(places.map(lambda place: read_record(path, *tf.unstack(place)), num_parallel_calls=2))
    for _ in rows:
        try:
            yield next(records).numpy()
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):  # the latter where the file ends now
            yield None


def read_record(path, offset, length):
    """Returns the bytes of the record whose `length` bytes begin at `offset` of the file `path`, all scalar tensors.

    TensorFlow's reader checks both checksums of the record. It raises an error that names no file:
    `shard_state.explain` finds the record. No Python runs, so that another machine can run the graph, and several
    records are read at a time.
    """
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.reshape(path, (1,)),
        compression_type="",
        buffer_size=length + _HEADER_BYTES + _CRC_BYTES,  # so that a bucket is asked once for a record
        byte_offsets=tf.reshape(offset - _HEADER_BYTES, (1,)),
    )
    kind = {"output_types": [tf.string], "output_shapes": [()]}
    first = tf.raw_ops.TakeDataset(input_dataset=records, count=tf.constant(1, tf.int64), **kind)
    return tf.raw_ops.DatasetToSingleElement(dataset=first, **kind)[0]
