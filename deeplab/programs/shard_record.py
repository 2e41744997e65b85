"""Which shards a training began with: a file in the train_logdir, which a training that is resumed compares.

The order of the images and what they show depend on the shards. If they are exchanged in the middle of a training, it
would go on as if nothing had happened, and end with weights that no single data set produces.
"""

import tensorflow as tf

from deeplab.errors import UserError
from deeplab.files import atomic, formats
from deeplab.training import run_folder

FILE = "shards.json"
_FIELDS = {"name": str, "bytes": int, "records": int, "digest": str}


def _is_entry(value):
    return isinstance(value, dict) and {name: type(item) for name, item in value.items()} == _FIELDS


_KIND = formats.Kind(
    "a record of shards",
    "remove it to train on the shards as they are",
    ("splits",),
    types={"splits": {str: [_is_entry]}},
)


def refuse_changed(folder, split):
    """Refuses to resume a training with other shards than those that it began with.

    The names of the shards do not count, so that a data set may be moved. Trainings of before this file was written,
    and folders without a checkpoint, take the shards as they are.

    Args:
      folder: the train_logdir.
      split: the `split.Split` that is read now.

    Raises:
      UserError: names the first shard that differs; or the file is damaged.
    """
    path = tf.io.gfile.join(folder, FILE)
    before = _read(path).get(split.name) if run_folder.holds_checkpoint(folder) else None
    if before is None:
        return
    now = _entries(split)
    if [entry["digest"] for entry in before] == [entry["digest"] for entry in now]:
        return
    raise UserError(
        f"{path}: this training read other shards of {split.name}: {_difference(before, now, split.folder)}. Put the "
        "shards of before back, or train into another --train_logdir (from these weights: --tf_initial_checkpoint); "
        "remove the file to go on with the shards as they are"
    )


def remember(folder, split):
    """Writes to the train_logdir which shards `split` has."""
    path, entries = tf.io.gfile.join(folder, FILE), _entries(split)
    before = _read(path) if run_folder.holds_checkpoint(folder) else {}
    if before.get(split.name) != entries:
        atomic.write(path, _KIND.text({"splits": {**before, split.name: entries}}))


def _entries(split):
    """Returns what the file holds of each shard of a split, a list of dicts."""
    return [
        dict(zip(_FIELDS, (state.path.rpartition("/")[2], state.size, state.records, state.digest), strict=True))
        for state in split.states
    ]


def _read(path):
    """Returns {split: list of entries} of the file; {} if there is none."""
    return _KIND.read(path)["splits"] if tf.io.gfile.exists(path) else {}


def _difference(before, now, folder):
    """Returns a sentence about the first shard of `folder` that differs between two lists of entries."""
    if len(before) != len(now):
        return f"{len(before)} shards then, {len(now)} in {folder} now"
    changed = [(old, new) for old, new in zip(before, now, strict=True) if old["digest"] != new["digest"]]
    (old, new), more = changed[0], f" and {len(changed) - 1} more differ" if len(changed) > 1 else ""
    then, here = (f"{entry['records']} records in {entry['bytes']} bytes" for entry in (old, new))
    what = f"holds {here}, not {then}" if then != here else f"holds other records, as many in as many bytes ({here})"
    return f"{folder}/{new['name']} {what}{more}"
