"""The train_logdir belongs to one training with one configuration, and to one process at a time."""

import dataclasses
import json

import tensorflow as tf

from deeplab.config.training import MAY_CHANGE
from deeplab.errors import UserError
from deeplab.files import locks


def lock(folder):
    """Takes the folder for this process until it ends.

    Raises:
      UserError: another process trains there.
    """
    locks.take(folder, "train_logdir", "trains")


def settings(config, model_config):
    """Returns what config.json holds of a training: {"model": {...}, "training": {...}}, as JSON reads it back."""
    training = dataclasses.asdict(config)
    training.pop("model")  # only what was given on the command line; model_config is complete
    return json.loads(json.dumps({"model": dataclasses.asdict(model_config), "training": training}))


def check_same(path, now):
    """Refuses to go on with another configuration than the one in the file `path`.

    Args:
      path: config.json of the training that is resumed; nothing is checked if it does not exist.
      now: `settings` of the present command line.

    Raises:
      UserError: names every option that differs, but for those that may.
    """
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path, "rb") as file:
        text = file.read()
    try:
        then = json.loads(text)
        then = {part: dict(then.get(part, {})) for part in ("model", "training")}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a configuration ({error}); restore it or choose another train_logdir") from None
    before, after = _flat(then), _flat({part: now.get(part, {}) for part in ("model", "training")})
    changed = [f"{name} was {before[name]}, now {after[name]}" for name in sorted(before.keys() & after.keys())
               if before[name] != after[name] and name not in MAY_CHANGE]  # fmt: skip
    if changed:
        raise UserError(
            f"{path}: this training has other options: {'; '.join(changed)}. "
            "Resume with the same options, or train into another --train_logdir (from these weights: "
            "--tf_initial_checkpoint)"
        )


def _flat(values):
    flat = {}
    for name, value in values.items():
        flat.update(_flat(value) if isinstance(value, dict) else {name: value})
    return flat
