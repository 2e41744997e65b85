"""One split of a data set, whatever it is stored in: where its records lie and how to parse one.

`open_split` is the only door: shards of the reference's kind, or `tfds:NAME[:split]` (see `tfds_source`).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab.config.data import TFDS_PREFIX, ReadConfig
from deeplab.data import catalog, tfrecord
from deeplab.errors import UserError


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split.

    `index` is (N, 3) int64: shard number, offset, length of each record, in file order. `parse` maps a serialized
    record (scalar string tensor) to {"image", "label", "filename"}: scalar strings, "" where it is missing.
    `label_lookup` is None or (256,) uint8: the label of every value found in the files.
    """

    dataset: catalog.Dataset
    name: str
    paths: tuple
    index: np.ndarray
    parse: Callable = tfrecord.parse
    label_lookup: np.ndarray | None = None

    def __len__(self):
        return len(self.index)

    def record(self, number, anywhere=False):
        """Returns record `number` (int64 scalar tensor) parsed, plus "shard", the path it came from.

        With `anywhere` the graph holds no Python, so that another machine can run it.
        """
        shard, offset, length = tf.unstack(tf.gather(tf.constant(self.index), number))
        path = tf.gather(tf.constant(self.paths), shard)
        if anywhere:
            sizes = [tf.io.gfile.stat(path).length for path in self.paths]
            serialized = tfrecord.read_record_anywhere(
                path, offset, length, tf.gather(tf.constant(sizes, tf.int64), shard)
            )
        else:
            serialized = tfrecord.read_record(path, offset, length)
        record = self.parse(serialized)
        unnamed = tf.equal(record["filename"], "")
        name = tf.where(unnamed, tf.strings.as_string(number, width=6, fill="0"), record["filename"])
        return {**record, "filename": name, "shard": path}


def open_split(dataset_dir, split, name=None, read=None):
    """Returns the `Split` to read.

    Args:
      dataset_dir: folder of the shards; not used with tfds.
      split: its name, e.g. "train".
      name: --dataset: a catalogue name (needed only where dataset.json is missing) or tfds:NAME[:split].
      read: `ReadConfig`; only tfds needs it.

    Raises:
      UserError: folder or split missing, shards damaged, no record in the split, unknown name.
    """
    if name and name.startswith(TFDS_PREFIX):
        from deeplab.data import tfds  # imports tensorflow_datasets, which takes seconds

        return tfds.open_split(name.removeprefix(TFDS_PREFIX), split, read or ReadConfig())
    paths = tfrecord.shards(dataset_dir, split)
    dataset = catalog.load(dataset_dir, name)
    index = tfrecord.index(paths)
    if not len(index):
        raise UserError(f"split {split!r} of {dataset_dir} holds no records; build it again from a list with images")
    return Split(dataset, split, tuple(paths), index)
