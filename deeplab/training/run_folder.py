"""The train_logdir: it belongs to one training with one configuration, and to one process at a time."""

import dataclasses
import json

import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.config.optimization import ScheduleConfig
from deeplab.config.options import from_json
from deeplab.config.training import MAY_CHANGE
from deeplab.errors import UserError
from deeplab.files import atomic, formats, locks

CONFIG_FILE = "config.json"
# Where initial weights come from, as `checkpoints.published.cache.origin` tells it.
ORIGIN = {"name": str, "address": str, "sha256": (None, str), "licence": (None, str), "trained_on": (None, str)}
RANGE = {"value_range": (str, [float]), "bands": [int]}  # of the images, see `data.channels`; without them RGB
CONFIG = formats.Kind(
    "a configuration",
    "restore the file or choose another folder",
    ("model",),
    ("training", "trained_size", "weights_from", "value_range", "bands"),
    types={"trained_size": (None, formats.is_size), "weights_from": (None, ORIGIN), **RANGE},
)
_PARTS = ("model", "training")  # of config.json
BEST_FOLDER = "best"  # inside the train_logdir; holds the checkpoint with the best score


def lock(folder, only_look=False):
    """Takes the folder for this process until it ends; with `only_look`, nothing is written.

    Raises:
      UserError: another process trains there.
    """
    (locks.refuse_taken if only_look else locks.take)(folder, "train_logdir", "trains")


def recorded_options(config, model_config):
    """Returns what config.json records of a training.

    Args:
      config: a TrainConfig.
      model_config: the `ModelConfig` of the network that is trained.

    Returns:
      {"model": {option: value}, "training": {group or option: value}}, with the types that JSON gives back, so that it
      can be compared with what was written earlier.
    """
    training = dataclasses.asdict(config)
    training.pop("model")  # holds only the flags that were given; model_config is complete
    return json.loads(json.dumps({"model": dataclasses.asdict(model_config), "training": training}))


def write_config(folder, model_config, training_options=None, trained_size=None, weights_from=None, channels=None):
    """Writes config.json into a train_logdir, in one piece; makes the folder if it is not there.

    Args:
      folder: the train_logdir.
      model_config: the `ModelConfig`, from which the network is built again.
      training_options: the part "training" of `recorded_options`, or None for weights that were not trained here.
      trained_size: the smallest (height, width) that holds the training images, or None if it is not known.
      weights_from: what `checkpoints.published.cache.origin` says of the initial weights, or None.
      channels: has `value_range` and `bands`, as dataset.json records them; None, and empty, for RGB of 8 bits.
    """
    tf.io.gfile.makedirs(folder)
    content = {"model": dataclasses.asdict(model_config), "training": training_options or {}}
    content |= {"trained_size": trained_size} if trained_size else {}
    content |= {"weights_from": weights_from} if weights_from else {}
    for name in ("value_range", "bands") if channels else ():
        content |= {name: getattr(channels, name)} if getattr(channels, name) else {}
    atomic.write(tf.io.gfile.join(folder, CONFIG_FILE), CONFIG.text(content, indent=2))


def read_config(folder):
    """Returns {field: value} of the config.json in a train_logdir, or None if it has none. "model" is always there.

    Raises:
      UserError: the file is damaged, or a newer version wrote it.
    """
    path = tf.io.gfile.join(folder, CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        return None
    content = CONFIG.read(path)
    if not all(isinstance(content.get(part, {}), dict) for part in _PARTS):
        raise UserError(f"{path}: not {CONFIG.name} (no options); {CONFIG.way_out}")
    return content


def recorded_run(recorded):
    """Returns the fields of the RunConfig in what `read_config` returned; {} where there are none."""
    run = ((recorded or {}).get("training") or {}).get("run")
    return run if isinstance(run, dict) else {}


def is_configured(folder):
    """Tells whether a train_logdir has a configuration."""
    return tf.io.gfile.exists(tf.io.gfile.join(folder, CONFIG_FILE))


def of(path):
    """Returns the folder in which the configuration of the training at `path` is to be found.

    Training prints the paths of its checkpoints, and each of them stands for the training that it belongs to.

    Args:
      path: a train_logdir, its folder of the best checkpoint, the prefix of a checkpoint in either of the two, or any
        other folder or file with weights.
    """
    path = path.rstrip("/") or "/"
    folder = path if tf.io.gfile.isdir(path) else path.rpartition("/")[0] or "."
    above, _, name = folder.rpartition("/")
    above = above or "."
    return above if name == BEST_FOLDER and not is_configured(folder) and is_configured(above) else folder


def holds_checkpoint(folder):
    """Tells whether a train_logdir holds a checkpoint, be it only the best one."""
    return any(bundle.latest(place) for place in (folder, tf.io.gfile.join(folder, BEST_FOLDER)))


def refuse_changed_options(folder, options):
    """Refuses to resume a training with other options than those it began with.

    A training that goes on with other options would end with weights that no single command produces. A folder
    without a checkpoint has nothing to go on from: it takes other options, and a line says so.

    Args:
      folder: the train_logdir.
      options: `recorded_options` of the present command line.

    Returns:
      The `recorded_options` of the training that the folder holds, or None if it has no config.json.

    Raises:
      UserError: names every option that differs and is not in `MAY_CHANGE`.
    """
    recorded = read_config(folder)
    if recorded is None:
        return None
    path = tf.io.gfile.join(folder, CONFIG_FILE)
    before, after = (flat({part: values.get(part, {}) for part in _PARTS}) for values in (recorded, options))
    formats.refuse_unknown(path, "option", before, after)  # the file is written again, and would lose the option
    changed = [
        f"{name} was {before[name]}, now {after[name]}"
        for name in sorted(before.keys() & after.keys())  # an option that is new in this version has no old value
        if before[name] != after[name] and name not in MAY_CHANGE
    ]
    if changed and not holds_checkpoint(folder):
        print(f"{folder} holds no checkpoint, so this training takes other options: {'; '.join(changed)}", flush=True)
    elif changed:
        raise UserError(
            f"{path}: this training has other options: {'; '.join(changed)}. Resume with the same options, or train "
            "into another --train_logdir (from these weights: --tf_initial_checkpoint)"
        )
    return recorded


def recorded_schedule(folder, recorded, schedule):
    """Returns the ScheduleConfig of a training whose options were recorded.

    Args:
      folder: the train_logdir, for messages.
      recorded: what `refuse_changed_options` returned; None for a training that begins.
      schedule: the ScheduleConfig of the present command line; options that were not recorded are taken from it.

    Raises:
      UserError: a recorded value is illegal.
    """
    values = dataclasses.asdict(schedule)
    earlier = (recorded or {}).get("training", {}).get("schedule")
    if isinstance(earlier, dict):
        values |= {name: value for name, value in earlier.items() if name in values}
    return from_json(ScheduleConfig, values, tf.io.gfile.join(folder, CONFIG_FILE))


def flat(values):
    """Returns {option: value} of nested dicts; no two options have the same name."""
    found = {}
    for name, value in values.items():
        found.update(flat(value) if isinstance(value, dict) else {name: value})
    return found
