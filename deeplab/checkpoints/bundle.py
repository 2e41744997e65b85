"""Reads and writes flat TensorFlow checkpoints: {name: array} in the files `model.ckpt-<step>.{index,data-*}`.

The reference's checkpoints and our own have the same format. Writing is atomic: the files get their names only when
they are complete, first the data, then the index. Last comes the state file `checkpoint`, which
`tf.train.latest_checkpoint` reads. A process that is killed at any moment leaves every checkpoint that was complete.
"""

import re

import numpy as np
import tensorflow as tf
from google.protobuf import text_encoding

from deeplab.checkpoints import index
from deeplab.errors import UserError, one_line
from deeplab.files import atomic, paths

PREFIX = "model.ckpt"
STATE = "checkpoint"  # name of the state file
_MAX_STATE = 1 << 20  # bytes; the first line names the newest checkpoint
_NAMED = re.compile(rb'^\s*model_checkpoint_path:\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_NO_TEXT = re.compile("[\ud800-\udfff]")  # what Python puts in place of bytes that are no UTF-8
_INDEX, _DATA = ".index", ".data-00000-of-00001"


def prefix_for(folder, step):
    """Returns the prefix (path without `.index`) of the checkpoint of `step` in `folder`."""
    return tf.io.gfile.join(folder, f"{PREFIX}-{int(step)}")


def step_of(prefix):
    """Returns the step in a prefix such as `.../model.ckpt-30000`; -1 if the prefix has none."""
    found = re.search(r"-(\d{1,18})$", prefix)
    return int(found.group(1)) if found else -1


def write(prefix, values):
    """Writes {name: NumPy array} as the checkpoint `prefix`, atomically, and lists it in the state file."""
    folder = _split(prefix)[0]
    tf.io.gfile.makedirs(folder)
    names = sorted(values)
    # The context that is entered last ends first: the data get their name before the index does.
    with atomic.replacing(prefix + _INDEX) as unfinished, atomic.replacing(prefix + _DATA), tf.device("/cpu:0"):
        tf.raw_ops.SaveV2(
            prefix=unfinished.removesuffix(_INDEX),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(values[name]) for name in names],
        )
        if tf.io.gfile.exists(prefix + _INDEX):  # without its index an old checkpoint of this step is no checkpoint
            tf.io.gfile.remove(prefix + _INDEX)
    _write_state(folder)


def read(prefix):
    """Returns {name: NumPy array} of all tensors of a checkpoint.

    Raises:
      UserError: there is no such checkpoint, or it is damaged (TensorFlow keeps a checksum of every tensor).
        TensorFlow's reader, which a crafted file could end with a signal, sees only what `index.check` accepts.
    """
    if not tf.io.gfile.exists(prefix + _INDEX):
        raise UserError(f"{prefix}: no such checkpoint ({prefix}{_INDEX} does not exist)")
    try:
        index.check(prefix)
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)  # load_checkpoint would ask whether it is a folder
        return {name: np.asarray(reader.get_tensor(name)) for name in sorted(reader.get_variable_to_shape_map())}
    except Exception as error:  # the reader raises a different class for every kind of damage
        reason = one_line(error, 200)
        raise UserError(f"{prefix}: damaged checkpoint ({reason}); remove it or name another one") from None


def prefixes(folder):
    """Returns the prefixes of the complete checkpoints in `folder`, oldest step first; [] for a missing folder."""
    if not tf.io.gfile.isdir(folder):
        return []
    # Names that are no UTF-8, which TensorFlow can't list, belong to no checkpoint of ours.
    present = {name for name in paths.listdir(folder) if not _NO_TEXT.search(name)}
    found = [
        name[: -len(_INDEX)] for name in present if name.endswith(_INDEX) and not name.startswith(atomic.UNFINISHED)
    ]
    complete = [base for base in found if any(name.startswith(base + ".data-") for name in present)]
    return [tf.io.gfile.join(folder, base) for base in sorted(complete, key=lambda base: (step_of(base), base))]


def latest(folder):
    """Returns the prefix of the newest complete checkpoint in `folder`, or None."""
    return next(reversed(prefixes(folder)), None)


def named_in_state(folder):
    """Returns the prefix of the checkpoint that the state file of `folder` names; None if it is missing or outdated.

    `tf.train.latest_checkpoint` would raise errors of several classes for a damaged file, and search by a pattern.
    """
    path = tf.io.gfile.join(folder, STATE)
    if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        found = _NAMED.search(file.read(_MAX_STATE))
    try:
        name = tf.io.gfile.join(folder, text_encoding.CUnescape(found[1].decode()).decode()) if found else ""
        return name if tf.io.gfile.exists(name + _INDEX) else None
    except (ValueError, tf.errors.OpError):  # no UTF-8, or a name that no file can have
        return None


def prune(folder, keep):
    """Removes all but the `keep` newest checkpoints of `folder`, and the files of interrupted writes."""
    for prefix in prefixes(folder)[:-keep]:
        # The index goes first, since data without an index are no checkpoint.
        for path in [prefix + _INDEX, *tf.io.gfile.glob(prefix + ".data-*")]:
            tf.io.gfile.remove(path)
    for path in tf.io.gfile.glob(tf.io.gfile.join(folder, atomic.UNFINISHED + "*")):
        tf.io.gfile.remove(path)
    _write_state(folder)


def _write_state(folder):
    """Writes the state file, which names the complete checkpoints."""
    names = [_split(prefix)[1] for prefix in prefixes(folder)]
    if not names:
        return
    lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
    atomic.write(tf.io.gfile.join(folder, STATE), "\n".join(lines) + "\n")


def _split(prefix):
    folder, _, base = prefix.rpartition("/")
    return folder or ".", base
