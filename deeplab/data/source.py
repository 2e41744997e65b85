"""Opens one or several splits of a data set: TFRecord shards with the reference's keys, or `tfds:NAME[:split]`."""

import numpy as np

from deeplab.config.data import TFDS_PREFIX, ReadConfig, is_tfds
from deeplab.data import catalog, shard_state, tfrecord
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
    if is_tfds(name):
        from deeplab.data import tfds  # imports tensorflow_datasets, which takes seconds

        return tfds.open_split(name.removeprefix(TFDS_PREFIX), split, read or ReadConfig())
    paths = tfrecord.shards(dataset_dir, split)
    if others := tfrecord.left_over(dataset_dir, split):
        print(others, flush=True)
    dataset = catalog.load(dataset_dir, name)
    contents, states = shard_state.open_shards(paths)
    index = tfrecord.join(contents)
    if not len(index):
        raise UserError(f"split {split!r} of {dataset_dir} holds no records; build it again from a list with images")
    return Split(dataset, split, tuple(paths), index, states=states)


def open_splits(dataset_dir, splits, name=None, read=None):
    """Returns several splits as one `Split`, which holds their records one split after the other.

    Args:
      splits: the names, a sequence without duplicates; one name gives what `open_split` gives.
      dataset_dir, name, read: as in `open_split`, and so are the errors.
    """
    if len(splits) > 1 and is_tfds(name):
        return open_split(dataset_dir, "+".join(splits), name, read)  # TFDS joins splits itself
    opened = [open_split(dataset_dir, split, name, read) for split in splits]
    if len(opened) == 1:
        return opened[0]
    paths = tuple(path for split in opened for path in split.paths)
    first_shards = np.cumsum([0, *(len(split.paths) for split in opened[:-1])])
    index = [split.index + np.array([first, 0, 0]) for split, first in zip(opened, first_shards, strict=True)]
    states = tuple(state for split in opened for state in split.states)
    return Split(opened[0].dataset, ",".join(splits), paths, np.concatenate(index), states=states)
