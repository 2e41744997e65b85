"""A train_logdir as one object: its configuration, its data set, a checkpoint, the model restored from it."""

import dataclasses
import json
import time

import tensorflow as tf

from deeplab.checkpoints import bundle, keras_file
from deeplab.checkpoints.published import addresses, cache
from deeplab.checkpoints.report import RestoreReport
from deeplab.checkpoints.restoring import restore
from deeplab.config import effects
from deeplab.config.model import ModelConfig
from deeplab.config.options import from_json
from deeplab.config.presets import MODELS, model_options
from deeplab.config.published import files
from deeplab.data import catalog
from deeplab.data.channels import facts
from deeplab.errors import UserError
from deeplab.files import formats
from deeplab.model.network import build_model
from deeplab.model.views import any_size_config
from deeplab.training import run_folder
from deeplab.training.run_folder import BEST_FOLDER


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model with what is known about its training."""

    model: tf.keras.Model
    config: ModelConfig
    dataset: catalog.Dataset | None  # None where neither dataset.json nor the caller names one
    folder: str  # holds config.json, dataset.json and the checkpoints; of fetched weights: where results go
    step: int  # of the training; -1 where the name of the checkpoint does not tell
    checkpoint: str  # prefix of the checkpoint that the model was restored from
    report: RestoreReport
    trained_config: ModelConfig | None = None  # as config.json records it, with the size of the training crops
    trained_size: tuple[int, int] | None = None  # (height, width) that holds the training images, if it is recorded
    weights_from: dict | None = None  # published weights that these are or began from: see `published.cache.origin`


def load(
    directory: str,
    checkpoint: str = "newest",
    overrides: dict | None = None,
    defaults: dict | None = None,
    dataset: catalog.Dataset | None = None,
    use_moving_averages: bool = True,
) -> Trained:
    """Builds the model of a train_logdir and restores it. How it computes is TensorFlow's choice, see `predict_labels`.

    Args:
      directory: a train_logdir, its folder `best`, the prefix of a checkpoint, a `.keras` file, which has its own
        configuration, or anything else that `restore` reads; preset:NAME also says the network.
      checkpoint: "newest", "best", or a prefix (with or without its folder).
      overrides: {field of ModelConfig: value}, used in place of the recorded values. Without a crop_size among them the
        model takes images of any size.
      defaults: like overrides, but only where there is no config.json.
      dataset: the classes that the model predicts, and their number, where no dataset.json and config.json say it.
      use_moving_averages: take the moving averages of the weights if one of our trainings kept them; the reference's
        programs take the weights themselves, and so does this for its checkpoints.

    Returns:
      A `Trained`.

    Raises:
      UserError: no such folder or checkpoint; the checkpoint does not fill the network.
    """
    (folder, prefix), preset = find(directory, checkpoint), files.preset_of(directory)
    recorded, trained_size = _read_config(folder, prefix)
    dataset = dataset_of(prefix) or dataset or dataset_of_preset(preset)
    config = _network_config(recorded, overrides or {}, {**(defaults or {}), **model_options(preset)}, dataset)
    if dataset and dataset.num_classes != config.num_classes:  # the flags know better than the default
        dataset = catalog.Dataset("unnamed", config.num_classes)
    dataset = facts.with_channels(dataset, config.num_channels)
    model = _build(config, _record(recorded, trained_size, dataset))
    report = _restored(model, prefix, use_moving_averages and recorded is not None, preset)
    step = bundle.step_of(prefix) if report.step is None else report.step
    loaded = Trained(model, config, dataset, folder, step, prefix, report, recorded, trained_size)
    return dataclasses.replace(loaded, **_of_published(directory, preset))


def _of_published(directory, preset):
    """Returns {field of `Trained`: value} of what is known of published weights.

    Results have a folder outside of the cache. The images of the data set of a preset are no larger than its crop.
    """
    source, fields = addresses.of(directory), {"weights_from": weights_from(directory)}
    fields |= {"folder": source.name} if source else {}
    return fields | ({"trained_size": MODELS[preset].crop_size} if preset else {})


def dataset_of_preset(preset):
    """Returns the `catalog.Dataset` whose classes a published model predicts; None without a preset."""
    return catalog.load(None, MODELS[preset].dataset) if preset else None


def _restored(model, prefix, averages, preset):
    """Returns the `RestoreReport`; an error says what a network that does not fit its weights was built from."""
    try:
        return restore(model, prefix, strict=True, use_moving_averages=averages)
    except UserError as error:
        sayers = "config.json, the model flags and the data set"
        if preset:
            sayers = f"the preset {preset} and the model flags: the archive holds another model than that"
        raise UserError(f"{error} (the network follows {sayers})") from None


def weights_from(path):
    """Returns which published weights those at `path` are, or began from: see `published.cache.origin`; None else."""
    found = cache.origin(path)
    if found is None and addresses.of(path) is None:
        found = (run_folder.read_config(run_folder.of(path)) or {}).get("weights_from")
    return found


def load_configured(config, directory: str, overrides: dict, dataset: catalog.Dataset | None) -> Trained:
    """Returns what `load` returns, for the options that all programs share.

    Args:
      config: a `NetworkConfig` with the option `checkpoint`.
      directory, overrides, dataset: as in `load`.

    Raises:
      UserError: as in `load`, or there is a --preset beside a config.json, which says what the network is.
    """
    if config.preset:
        folder, prefix = find(directory, config.checkpoint)
        is_keras = keras_file.is_keras_file(prefix)
        if is_keras or run_folder.is_configured(folder):
            path = prefix if is_keras else tf.io.gfile.join(folder, run_folder.CONFIG_FILE)
            raise UserError(
                f"preset={config.preset!r}: has no effect, because {path} says what the network is; leave it out"
            )
    averages = config.use_moving_averages
    return load(directory, config.checkpoint, overrides, config.model_defaults, dataset, averages)


def _network_config(recorded, overrides, defaults, dataset):
    """Returns the `ModelConfig` to build: as recorded in config.json, or as the defaults say; overrides always win."""
    if recorded is None:
        classes = {"num_classes": dataset.num_classes, "num_channels": dataset.num_channels} if dataset else {}
        config = ModelConfig(**{**classes, **defaults, **overrides})
    else:
        config = dataclasses.replace(recorded, **overrides)
    before = recorded or ModelConfig()
    changed = {name: value for name, value in overrides.items() if value != getattr(before, name)}
    effects.refuse_without_effect(config, effects.MODEL, changed)
    return config if "crop_size" in overrides else any_size_config(config)


def find(directory, checkpoint="newest"):
    """Returns (folder, path of the weights); arguments and errors as in `load`.

    The folder is the train_logdir, if the weights belong to a training, and else the folder of the weights.
    """
    directory = cache.local(directory).rstrip("/") or "/"
    folder = run_folder.of(directory)
    if not tf.io.gfile.isdir(directory):
        if not (tf.io.gfile.exists(directory) or tf.io.gfile.exists(directory + ".index")):
            raise UserError(
                f"checkpoint_dir={directory}: no such folder or checkpoint; name the --train_logdir of a training"
            )
        if checkpoint != "newest":
            raise UserError(
                f"checkpoint={checkpoint}: has no effect, because {directory} is one checkpoint; leave it out, or name "
                "the folder"
            )
        return folder, directory
    if checkpoint in ("newest", "best"):
        is_place = checkpoint == "newest" or folder != directory  # LOGDIR/best holds the best checkpoint only
        place = directory if is_place else tf.io.gfile.join(directory, BEST_FOLDER)
        prefix = bundle.latest(place)
        if prefix is None:
            raise UserError(
                f"{place}: holds no complete checkpoint (model.ckpt-*.index); train first, or name another folder"
            )
        return folder, prefix
    return folder, _named(directory, checkpoint)


def _named(directory, checkpoint):
    """Returns the prefix of the checkpoint of that name in a folder."""
    for prefix in (tf.io.gfile.join(directory, checkpoint), checkpoint):
        if tf.io.gfile.exists(prefix + ".index"):
            return prefix
    places = (directory, tf.io.gfile.join(directory, BEST_FOLDER))
    found = [prefix.removeprefix(directory + "/") for place in places for prefix in bundle.prefixes(place)]
    known = ", ".join(found) or "none"
    raise UserError(f"checkpoint={checkpoint}: no such checkpoint in {directory}; it holds: {known}")


def checkpoint_names(directory):
    """Returns the names of all complete checkpoints of a folder, oldest first, as `find` takes them.

    The best checkpoint of the training is among them, e.g. best/model.ckpt-150, unless the folder itself holds the
    checkpoint of that step, which has the same weights.

    Raises:
      UserError: the folder does not exist or holds no checkpoint.
    """
    directory = directory.rstrip("/") or "/"
    found = bundle.prefixes(directory)
    steps = {bundle.step_of(prefix) for prefix in found}
    best = bundle.prefixes(tf.io.gfile.join(directory, BEST_FOLDER))
    found = sorted([*found, *(p for p in best if bundle.step_of(p) not in steps)], key=bundle.step_of)
    if not found:
        raise UserError(
            f"checkpoint_dir={directory}: no folder with checkpoints; name the --train_logdir of a training"
        )
    return [prefix.removeprefix(directory).lstrip("/") for prefix in found]


def is_readable(directory, checkpoint):
    """Tells whether a folder holds the checkpoint of that name, and the checkpoint is undamaged."""
    try:
        bundle.read(tf.io.gfile.join(directory, checkpoint))
    except UserError:
        return False
    return True


def holds(directory, checkpoint):
    """Tells whether a folder holds the checkpoint of that name."""
    return tf.io.gfile.exists(tf.io.gfile.join(directory, checkpoint + ".index"))


def new_checkpoints(directory, interval, timeout):
    """Yields the name of the newest checkpoint of a folder, then of each newer one that is found.

    Args:
      directory: a train_logdir; need not exist yet.
      interval: seconds between looks.
      timeout: ends when no new checkpoint came for so many seconds.
    """
    seen, came = None, time.monotonic()
    while True:
        prefix = bundle.latest(directory)
        if prefix not in (None, seen):
            seen = prefix
            yield prefix.rpartition("/")[2]
            came = time.monotonic()
        elif time.monotonic() - came >= timeout:
            return
        else:
            time.sleep(min(interval, timeout))


def _read_config(folder, prefix=""):
    """Returns what the config.json in a folder records: the `ModelConfig`, and the (height, width) of training images.

    Both are None without that file; the size is None where it is not recorded. A `.keras` file records both itself.
    """
    if keras_file.is_keras_file(prefix):
        network, record = keras_file.describe(prefix)
        size, crop_size = record.get("trained_size"), record.get("crop_size") or network.crop_size
        config = from_json(ModelConfig, {**dataclasses.asdict(network), "crop_size": crop_size}, prefix)
        return config, tuple(size) if formats.is_size(size) else None
    content = run_folder.read_config(folder)
    if content is None:
        return None, None
    config = from_json(ModelConfig, content["model"], tf.io.gfile.join(folder, run_folder.CONFIG_FILE))
    return config, tuple(content.get("trained_size") or ()) or None


def read_dataset(folder):
    """Returns the `catalog.Dataset` of a training, or None where the folder does not say it."""
    if not tf.io.gfile.exists(tf.io.gfile.join(folder, catalog.FILE)):
        return None
    return catalog.load(folder)


def dataset_of(path):
    """Returns the `catalog.Dataset` of the training that the weights `path` come from, or None where nothing says it.

    Args:
      path: a `.keras` file, which says it itself, or any other path that `find` takes.
    """
    if not keras_file.is_keras_file(path):
        return read_dataset(run_folder.of(path))
    content = keras_file.describe(path).record.get("dataset")
    return None if content is None else catalog.from_json(json.dumps(content), f"{path} (the data set)")


def _build(config, record):
    model = build_model(config)
    model.parts.record = record
    return model


def _record(recorded, trained_size, dataset):
    """Returns the JSON object about the training that a model hands on to its `.keras` file; {} if nothing is known."""
    known = {
        "crop_size": list(recorded.crop_size) if recorded and recorded.crop_size else None,
        "trained_size": list(trained_size) if trained_size else None,
        "dataset": json.loads(catalog.to_json(dataset)) if dataset else None,
    }
    return {name: value for name, value in known.items() if value is not None}
