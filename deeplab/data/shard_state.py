"""Shards that change after they were opened: what they held, whether they still do, and which record is damaged.

The index of a shard is made once, when a split is opened. Every record is read by that index, and TensorFlow's reader
checks the checksums of length and bytes each time, so that a bit that flips later is noticed. A shard that is replaced
by a whole one is noticed here, by the hash of its lengths and checksums.
"""

import re
from typing import NamedTuple

import tensorflow as tf

from deeplab.data import tfrecord
from deeplab.errors import UserError
from deeplab.files import paths

_PLACE = re.compile(r"(?:corrupted|truncated) record at (\d+)")  # in the errors of TensorFlow's reader
_CUT = "Dataset was empty"  # its error where a shard ends before the record
# What TensorFlow's reader says about a damaged record.
DAMAGED = re.compile(rf"{_PLACE.pattern}|{_CUT}")
_HEADER = 12  # bytes of length and checksum before the content of a record


class ShardState(NamedTuple):
    """A shard as it was opened.

    Attributes:
      path: the file.
      stamp: its `paths.stamp`, asked before the file was read.
      size: its bytes.
      records: how many it holds.
      digest: as in `tfrecord.Contents`.
    """

    path: str
    stamp: tuple[int, ...]
    size: int
    records: int
    digest: str


def open_shards(shard_paths):
    """Returns (list of `tfrecord.Contents`, tuple of `ShardState`) of some shards; raises what `tfrecord.scan` does."""
    stamps = [paths.stamp(path) for path in shard_paths]
    contents = [tfrecord.scan(path) for path in shard_paths]
    states = [
        ShardState(path, stamp, found.size, len(found.rows), found.digest)
        for path, stamp, found in zip(shard_paths, stamps, contents, strict=True)
    ]
    return contents, tuple(states)


def refuse_changed(states):
    """Raises a UserError that names a shard which holds something else than when it was opened.

    Only local shards are looked at, since a bucket takes a request for each. A shard that cannot be found is passed
    over: its records may be in memory, and to read it is an error of its own.
    """
    for state in states:
        if not paths.is_remote(state.path) and tf.io.gfile.exists(state.path) and (reason := _change(state)):
            raise UserError(reason)


def _change(state):
    """Returns a sentence about a shard that has changed; "" if it holds what it did. It may raise what `scan` does."""
    if paths.stamp(state.path) == state.stamp:
        return ""
    now = tfrecord.scan(state.path)
    if now.digest == state.digest:  # copied again, or touched
        return ""
    return (
        f"{state.path}: was replaced or changed while this program read it: it had {state.records} records in "
        f"{state.size} bytes, now {len(now.rows)} in {now.size}; put the file of before back and start again"
    )


def explain(split, message):
    """Returns a sentence that names the shard and the record about which TensorFlow's reader raised an error.

    Args:
      split: the `split.Split` that was read.
      message: of the error; it tells the place in the file, but not the file.

    Returns:
      The sentence, or "" if all records that are at this place are whole now.
    """
    place = _PLACE.search(message)
    for shard, path in enumerate(split.paths):
        rows = split.index[split.index[:, 0] == shard, 1:]
        if place is None or int(place[1]) not in {*rows[:, 0], *(rows[:, 0] - _HEADER)}:
            continue
        try:
            contents = tfrecord.scan(path)
        except UserError as error:  # cut off, or a length that is damaged
            return str(error)
        for number, record in enumerate(tfrecord.read_all(path, contents.rows)):
            if record is None:
                return tfrecord.damaged_bytes(path, number)
    for state in split.states:
        try:
            if reason := _change(state):
                return reason
        except UserError as error:
            return str(error)
        except (tf.errors.OpError, OSError) as error:
            return f"{state.path}: cannot be read any more: {getattr(error, 'strerror', None) or error}"
    return ""
