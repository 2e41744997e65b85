"""What eval scores: a checkpoint or an export, with the split that it is scored on."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from deeplab import devices
from deeplab.data import pipeline, source
from deeplab.errors import UserError
from deeplab.evaluation import batches, report, scoring
from deeplab.inference import exports


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A network that can be scored.

    `about` is what results.json tells of it, beside its scores. `score` maps collectors (see `scoring.score`) to a
    `scoring.Result`; `title` is for the terminal; results go to `folder` unless the user names another.
    """

    split: source.Split
    about: dict
    title: str
    folder: str
    score: Callable


def prepare(config):
    """Returns the `Contestant` that the `EvalConfig` names by checkpoint_dir or saved_model.

    Raises:
      UserError: something is missing; the network has another number of classes than the data set.
    """
    return _exported(config) if config.saved_model else _trained(config)


def of_path(config, path):
    """Returns the `Contestant` at `path`, a checkpoint folder or an export, scored as the `EvalConfig` says."""
    kind = "saved_model" if exports.newest(path) else "checkpoint_dir"
    return prepare(dataclasses.replace(config, **{"compare": (), kind: path}))


def _trained(config):
    tiles = config.tiles.tile_size
    strategy = None if tiles else devices.for_evaluation(config.distribution_strategy)
    subject = batches.prepare(config, config.eval_split, config.eval_crop_size, strategy)
    loaded = subject.loaded

    def score(collectors):
        if tiles:
            return scoring.score_in_tiles(subject, config.tiles, collectors)
        return scoring.score(subject, config.eval_batch_size, collectors)

    about = {
        "checkpoint": loaded.checkpoint,
        "step": loaded.step,
        **_split_facts(subject.split, config),
        "model_variant": loaded.config.model_variant,
        "output_stride": loaded.config.output_stride,
        "eval_crop_size": subject.size,
        "eval_scales": config.passes.eval_scales,
        "add_flipped_images": config.passes.add_flipped_images,
        "min_resize_value": config.resize.min_resize_value,
        "max_resize_value": config.resize.max_resize_value,
        "resize_factor": config.resize.resize_factor,
        "tile_size": tiles,
    }
    title = _title(loaded.checkpoint, about, f"padded to {report.sides(subject.size)}")
    folder = tf.io.gfile.join(loaded.folder, f"eval_{config.eval_split}")
    return Contestant(subject.split, about, title, folder, score)


def _exported(config):
    config.check_export()
    folder = exports.find(config.saved_model).path
    split = source.open_split(config.dataset_dir, config.eval_split, config.dataset_name, config.read)
    card = exports.read_card(folder)
    if len(card["classes"]) != split.dataset.num_classes:
        raise UserError(
            f"{folder} predicts {len(card['classes'])} classes, {split.dataset.name} in {config.dataset_dir} has "
            f"{split.dataset.num_classes}; name the data set that it was trained on"
        )
    about = {
        "saved_model": folder,
        "checkpoint": card["checkpoint"],
        "step": card["step"],
        **_split_facts(split, config),
        "model_variant": card["config"]["model_variant"],
        "output_stride": card["config"]["output_stride"],
        "eval_crop_size": card["crop_size"],
        "eval_scales": card["inference_scales"],
        "add_flipped_images": card["add_flipped_images"],
        **{name: card["resize"][name] for name in ("min_resize_value", "max_resize_value", "resize_factor")},
    }
    results = tf.io.gfile.join(config.saved_model.rstrip("/"), f"eval_{config.eval_split}")
    export = exports.load(folder, required=(exports.DEFAULT_SIGNATURE,))
    subject = AtSourceSize(split)
    title = _title(folder, about, "at their own size")
    return Contestant(
        split, about, title, results, lambda collectors: scoring.score_each(subject, export.segment, collectors)
    )


@dataclasses.dataclass(frozen=True)
class AtSourceSize:
    """The images of a split as they are: what an export takes."""

    split: source.Split
    resizes = False

    def examples(self):
        return pipeline.eval_examples(self.split, dct_method=batches.DCT_METHOD)


def _split_facts(split, config):
    return {"dataset": split.dataset.name, "split": config.eval_split, "num_images": len(split)}


def _title(name, about, how):
    lines = f"{name}: {about['model_variant']}, output stride {about['output_stride']}\n"
    return lines + f"{about['split']} of {about['dataset']}: {about['num_images']} images, {how}"
