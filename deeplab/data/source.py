"""Opens a split of a data set: TFRecord shards with the reference's keys, or `tfds:NAME[:split]`."""

from deeplab.config.data import TFDS_PREFIX, ReadConfig
from deeplab.data import catalog, tfrecord
from deeplab.data.split import Split
from deeplab.errors import UserError


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
