"""What eval scores: checkpoints and exports, each opened together with the split that it is scored on."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab import devices, memory
from deeplab.checkpoints.published import cache
from deeplab.config.options import require
from deeplab.data import catalog, pipeline, source
from deeplab.errors import UserError
from deeplab.evaluation import report, scoring
from deeplab.evaluation.boundary import BoundaryScores
from deeplab.evaluation.split_predictor import restore_split_predictor
from deeplab.files import escaping
from deeplab.inference import batch_size, export_folder, exports, input_size, tiles
from deeplab.training import run_folder

_OWN_SIZE = "at their own size"  # padded only as far as the network needs


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A checkpoint or an export that is open and ready to be scored.

    Attributes:
      title: says on the terminal what is scored on which images.
      dataset: the data set that it is scored on.
      facts: what results.json says about it beside its scores.
      folder: where results go unless the user names another folder.
      score: scores the split, and gives every image to the collectors.
      name: what --compare calls it; empty if it is the only candidate.
    """

    title: str
    dataset: catalog.Dataset
    facts: dict[str, Any]
    folder: str
    score: Callable[[Sequence[scoring.Collector]], scoring.SplitScores]
    name: str = ""


class ScoredCandidate(NamedTuple):
    """A candidate and its scores."""

    candidate: Candidate
    scores: scoring.SplitScores
    boundary_scores: BoundaryScores


def open_candidates(config):
    """Opens the checkpoint or the export that an `EvalConfig` names, or all that it compares.

    Returns:
      A list of `Candidate`s, in the order in which the user named them.

    Raises:
      UserError: something is missing, or a network predicts other classes than those of the data set.
    """
    if config.compare:
        return [_open_compared(config, name, path) for name, path in config.candidates]
    return [_open_export(config) if config.saved_model else _open_checkpoint(config)]


def score_checkpoint(config, name):
    """Opens the checkpoint `name` of the folder that an `EvalConfig` names, scores it, and lets its network go.

    Returns:
      A `ScoredCandidate` of that name.

    Raises:
      UserError: as `open_candidates`.
    """
    (candidate,) = open_candidates(dataclasses.replace(config, checkpoint=name))
    (scored,) = score_candidates([candidate], config)
    # Many checkpoints may follow, and the networks of all of them would not fit into memory.
    return scored._replace(candidate=dataclasses.replace(candidate, name=name, score=_score_again))


def _score_again(_collectors):
    raise ValueError("this candidate has been scored, and its network is gone")


def score_candidates(candidates, config):
    """Scores one candidate after the other, and prints the title of each before it begins.

    Args:
      candidates: `Candidate`s.
      config: the `EvalConfig`, which says whether there are scores at boundaries.

    Returns:
      A list with a `ScoredCandidate` for each.
    """
    scored, note = [], batch_size.note(config.eval_batch_size, "eval_batch_size")
    for candidate in candidates:
        print(candidate.title)
        if note and not config.tiles.tile_size:
            print(note)
        boundary_scores = BoundaryScores(config.trimap_widths, config.boundary_scores, candidate.dataset)
        scored.append(ScoredCandidate(candidate, candidate.score(boundary_scores.collectors), boundary_scores))
    return scored


def _open_compared(config, name, path):
    """Returns the `Candidate` at `path`, which --compare calls `name`: an export, or else a checkpoint."""
    try:
        kind = "saved_model" if export_folder.newest(cache.local(path)) else "checkpoint_dir"
        changes = {"compare": (), kind: path, **_meant_for_others(config, path)}
        (candidate,) = open_candidates(dataclasses.replace(config, **changes))
    except UserError as error:
        raise UserError(f"compare={name}={path}: {error}") from None
    return dataclasses.replace(candidate, name=name, title=f"{escaping.terminal(name)}: {candidate.title}")


def _meant_for_others(config, path):
    """Returns {option: default} of the options that have no effect on `path`, but on another one that is compared."""
    taken, by_any = _taken(path), set().union(*(_taken(other) for _name, other in config.candidates))
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    return {name: defaults[name] for name in by_any - taken}


def _taken(path):
    """Returns the names of the options that have an effect on `path`, among those that not every candidate takes."""
    path = cache.local(path)
    if export_folder.newest(path):
        return set()
    is_folder, configured = tf.io.gfile.isdir(path), run_folder.is_configured(run_folder.of(path))
    names = {"use_moving_averages", "distribution_strategy"}
    return names | ({"checkpoint"} if is_folder else set()) | (set() if configured else {"preset"})


def _open_checkpoint(config):
    """Returns the `Candidate` of `config.checkpoint_dir`, which runs as the flags say."""
    strategy = None if config.tiles.tile_size else devices.evaluation_strategy(config.distribution_strategy)
    loaded, split_predictor = restore_split_predictor(config, config.eval_split, config.eval_crop_size, strategy)

    def score(collectors):
        with memory.told(lambda: split_predictor.describe(config.eval_batch_size), lambda size: _less_memory(config)):
            if config.tiles.tile_size:
                return scoring.score_in_tiles(split_predictor, config.tiles, collectors)
            return scoring.score(split_predictor, config.eval_batch_size, collectors)

    split = split_predictor.split
    pipeline.refuse_unlabelled(split)
    facts = {
        "checkpoint": loaded.checkpoint,
        "step": loaded.step,
        **_split_facts(split, config),
        "model_variant": loaded.config.model_variant,
        "output_stride": loaded.config.output_stride,
        "eval_crop_size": split_predictor.crop_size,
        "eval_scales": config.passes.eval_scales,
        "add_flipped_images": config.passes.add_flipped_images,
        "min_resize_value": config.resize.min_resize_value,
        "max_resize_value": config.resize.max_resize_value,
        "resize_factor": config.resize.resize_factor,
        "tile_size": config.tiles.tile_size,
        "zero_untrained_taps": config.zero_untrained_taps,
        "tf32": devices.computes_in_tf32(),
    }
    crop_size = split_predictor.crop_size
    title = _title(loaded.checkpoint, facts, f"padded to {report.sides(crop_size)}" if crop_size else _OWN_SIZE)
    folder = tf.io.gfile.join(loaded.folder, f"eval_{config.eval_split}")
    return Candidate(title, split.dataset, facts, folder, score)


def _less_memory(config):
    """Returns which options of an `EvalConfig` of a checkpoint need less memory, a text."""
    most = batch_size.largest(config.eval_batch_size)
    if most > 1:
        return f"--eval_batch_size={most // 2} needs about half of that"
    return tiles.less_memory(config.tiles, config.passes.eval_scales)


def _open_export(config):
    """Returns the `Candidate` of `config.saved_model`, which brings its own scales, crop size and resizing."""
    config.check_export()
    path = export_folder.find(config.saved_model).path
    split = source.open_split(config.dataset_dir, config.eval_split, config.dataset_name, config.read)
    pipeline.refuse_unlabelled(split)
    catalog.refuse_other(config.dataset, split.dataset)
    card = export_folder.read_card(path)
    predicted = catalog.Dataset(
        "export", len(card["classes"]), class_names=card["classes"], **exports.channels_of(path, card)
    )
    catalog.require_same_classes(predicted, split.dataset, path, config.dataset_dir)
    facts = {
        "saved_model": path,
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
    seen = input_size.of_card(card)
    facts |= {"input_size": seen.card(), "tf32": devices.computes_in_tf32()}
    export = exports.load(path, required=(exports.DEFAULT_SIGNATURE,))

    def score(collectors):  # an export resizes images itself, so that it gets them at their source size
        with memory.told(lambda: f"an image of {facts['split']}", lambda size: tiles.LESS_THAN_AN_EXPORT):
            return scoring.score_in_stacks(split, export.labels, at_once, collectors)

    at_once = config.eval_batch_size
    if not export.takes_batches:
        require(at_once in (None, 1), "eval_batch_size", at_once, f"1, since {path} takes one image at a time")
        at_once = 1
    title = _title(path, facts, f"at the size of --input_size={seen.rule}" if seen.fit_into else _OWN_SIZE)
    folder = tf.io.gfile.join(config.saved_model.rstrip("/"), f"eval_{config.eval_split}")
    return Candidate(title, split.dataset, facts, folder, score)


def _split_facts(split, config):
    return {"dataset": split.dataset.name, "split": config.eval_split, "num_images": len(split)}


def _title(path, facts, size):
    """Returns the two lines of a title; whatever the names in it hold, they stay two."""
    network = f"{path}: {facts['model_variant']}, output stride {facts['output_stride']}"
    images = f"{facts['split']} of {facts['dataset']}: {facts['num_images']} images, {size}"
    return f"{escaping.terminal(network)}\n{escaping.terminal(images)}"
