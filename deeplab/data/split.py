"""One split of a data set, whatever it is stored in: where its records lie, and how a record is parsed."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from deeplab.data import catalog, shard_state, tfrecord


@dataclasses.dataclass(frozen=True)
class Split:
    """The records of one split.

    Attributes:
      dataset: the data set that the split belongs to.
      name: such as "train".
      paths: the TFRecord files.
      index: (N, 3) int64: number of the file, offset and length in bytes of each record, in file order.
      parse: function that maps a serialized record (scalar string tensor) to {"image", "label", "filename"}, scalar
        string tensors that are empty where the record lacks them.
      label_lookup: (256,) uint8, the label of every value that label images may hold; None: the values are the labels.
      states: what each of the files held when it was opened; () if that is not known.
    """

    dataset: catalog.Dataset
    name: str
    paths: tuple[str, ...]
    index: np.ndarray
    parse: Callable = tfrecord.parse
    label_lookup: np.ndarray | None = None
    states: tuple[shard_state.ShardState, ...] = ()

    @property
    def folder(self):
        """The folder that holds the first file."""
        return self.paths[0].rpartition("/")[0] or "."

    def __len__(self):
        return len(self.index)

    def record(self, number):
        """Returns record `number` (int64 scalar tensor) parsed, and under "shard" the path of its file.

        Both checksums of the record are checked. No Python runs, so that another machine can run the graph.
        """
        shard, offset, length = tf.unstack(tf.gather(tf.constant(self.index), number))
        path = tf.gather(tf.constant(self.paths), shard)
        record = self.parse(tfrecord.read_record(path, offset, length))
        unnamed = tf.equal(record["filename"], "")
        name = tf.where(unnamed, tf.strings.as_string(number, width=6, fill="0"), record["filename"])
        return {**record, "filename": name, "shard": path}
