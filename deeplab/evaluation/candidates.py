"""What eval scores: a checkpoint or an export, with the split that it is scored on."""

import dataclasses
import json
from collections.abc import Callable

import tensorflow as tf

from deeplab import devices
from deeplab.data import pipeline, source
from deeplab.errors import UserError
from deeplab.evaluation import batches, report, scoring
from deeplab.exporting import model_card
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
    strategy = None if tiles else devices.evaluation_strategy(config.distribution_strategy)
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
    found = exports.newest(config.saved_model)
    if found is None:
        raise UserError(f"saved_model={config.saved_model}: no SavedModel there; name an --export_path or DIR/VERSION")
    folder = found.path
    split = source.open_split(config.dataset_dir, config.eval_split, config.dataset_name, config.read)
    card = _card(folder)
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
    subject, segment = AtSourceSize(split), _segment(folder)
    title = _title(folder, about, "at their own size")
    return Contestant(split, about, title, results, lambda collectors: scoring.score_each(subject, segment, collectors))


@dataclasses.dataclass(frozen=True)
class AtSourceSize:
    """The images of a split as they are: what an export takes."""

    split: source.Split
    resizes = False

    def examples(self):
        return pipeline.eval_examples(self.split, dct_method=batches.DCT_METHOD)


def _card(folder):
    """Returns the content of an export's model.json."""
    path = tf.io.gfile.join(folder, model_card.FILE)
    try:
        with tf.io.gfile.GFile(path) as file:
            card = json.load(file)
        if card["format"] == model_card.FORMAT:
            return card
        reason = f"format {card['format']}, this version reads {model_card.FORMAT}"
    except (tf.errors.NotFoundError, ValueError, TypeError, KeyError) as error:
        reason = f"{type(error).__name__}"
    raise UserError(f"{path}: not the card of an export ({reason}); write it with python -m deeplab.export")


def _segment(folder):
    """Returns the function (H, W, 3) uint8 -> (H, W) int32 labels that the signature serving_default is."""
    try:
        module = tf.saved_model.load(folder)
        signature = module.signatures["serving_default"]
    except (OSError, KeyError) as error:
        raise UserError(f"{folder}: not a SavedModel of deeplab ({' '.join(str(error).split())[:200]})") from None

    def segment(image, _module=module):  # the module owns what the signature runs on
        try:
            return signature(images=tf.constant(image[None]))["labels"][0].numpy()
        except (tf.errors.InvalidArgumentError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            size = report.sides(image.shape[:2])
            raise UserError(f"{folder}: does not take an image of {size} pixels ({reason})") from None

    return segment


def _split_facts(split, config):
    return {"dataset": split.dataset.name, "split": config.eval_split, "num_images": len(split)}


def _title(name, about, how):
    lines = f"{name}: {about['model_variant']}, output stride {about['output_stride']}\n"
    return lines + f"{about['split']} of {about['dataset']}: {about['num_images']} images, {how}"
