"""Segments photographs and videos: `python -m deeplab.predict`."""

import collections
import contextlib
import dataclasses
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.config.model import ModelConfig
from deeplab.config.options import differences, require
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.files import escaping, locks, places, progress_bar
from deeplab.inference import (
    batches,
    export_folder,
    exports,
    input_files,
    input_size,
    output_folder,
    side_by_side,
    tiles,
    trained,
    untrained,
)
from deeplab.inference.predictor import Predictor
from deeplab.pictures import drawing, images, video
from deeplab.programs import predict_images

EXIT_SOME_FAILED = 1


class Segmenter(NamedTuple):
    """What turns images into labels, whether it is a checkpoint or an export.

    Attributes:
      labels: function (H, W, 3) uint8 -> (H, W) int32.
      with_probabilities: function (H, W, 3) uint8 -> (H, W) int32 and (H, W, K) float32.
      dataset: what the labels mean, and their colours.
      settings: {name: value} of all that the results depend on except for the image; JSON.
      notice: says for the first image that it is seen at another size.
      batched: the `batches.Batched` that gives the labels of several images, or None: one image at a time.
    """

    labels: Callable[[np.ndarray], np.ndarray]
    with_probabilities: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    dataset: catalog.Dataset
    settings: dict[str, Any]
    notice: input_size.Notice = input_size.Notice(input_size.InputSize())
    batched: batches.Batched | None = None


@devices.as_configured
def predict(config):
    """Segments the files that `config`, a `PredictConfig`, names; returns the exit code."""
    # From what: photographs and videos. None may lie in the output folder, or results would be inputs the next time.
    found = input_files.find(config.input, config.output)
    output_folder.refuse_inputs(config.output, found.files)
    _tell([*found.notes, *_without_effect(config, found.files)])

    # What: an export, or a checkpoint.
    segmenter = _open_export(config) if config.saved_model else _open_checkpoint(config)

    # Where: a folder that remembers what is finished, and by which network.
    tf.io.gfile.makedirs(config.output)
    with locks.hold(config.output, "output"):
        jobs = output_folder.plan(config.output, found.files, segmenter.settings, config)
        # Go: one file after the other.
        return _run(jobs, segmenter, config, found.problems)


def _without_effect(config, files):
    """Returns a sentence for each option that changes nothing, because there is no input of the kind it is for."""
    videos = [video.is_video(file.path) for file in files]
    needs = (("save_frames", "video", any(videos)), ("save_probabilities", "image", not all(videos)))
    return [
        f"--{name} has no effect, because there is no {kind} among the inputs"
        for name, kind, is_there in needs
        if getattr(config, name) and not is_there
    ]


def _open_export(config):
    """Returns the `Segmenter` of a SavedModel that export wrote."""
    path = export_folder.find(config.saved_model).path
    export = exports.load(path, required=(exports.DEFAULT_SIGNATURE,))
    if config.save_probabilities and not export.has_probabilities:
        raise UserError(
            f"--save_probabilities: {path} gives none (no signature `reference`); export it again, or use "
            "--checkpoint_dir"
        )
    settings = {
        "saved_model": output_folder.network_name(path),
        **_tf32(),
        **output_folder.identity(f"{path}/{export_folder.GRAPH_FILE}"),  # another export may take the place of this one
    }
    dataset, notice = export.dataset(config.dataset), input_size.Notice(input_size.of_card(export.card))
    catalog.refuse_other(config.dataset, dataset)
    together = batches.of_export(export)
    if together is None:
        require(config.batch_size in (None, 1), "batch_size", config.batch_size, f"1, since {path} takes one at a time")
    return Segmenter(export.segment, export.segment_with_probabilities, dataset, settings, notice, together)


def _open_checkpoint(config):
    """Returns the `Segmenter` of a train_logdir or another checkpoint."""
    named = catalog.load(None, config.dataset_name)
    loaded = trained.load_configured(config, config.checkpoint_dir, config.model, named)
    catalog.refuse_other(config.dataset, loaded.dataset)
    seen = input_size.resolve(config.input_size, loaded.trained_size)
    passes, settings, notice = config.passes, _settings(config, loaded, seen), input_size.Notice(seen, config.tiles)
    untrained.treat(loaded, config.zero_untrained_taps)
    predictor = Predictor(loaded.model, config.crop_size, passes.eval_scales, passes.add_flipped_images)
    if config.tiles.tile_size:
        window = tiles.window(predictor, config.tiles)
        return Segmenter(window, window.with_probabilities, loaded.dataset, settings, notice)
    if seen.is_unknown:
        _tell([str(seen)])
    one = [tf.TensorSpec((1, None, None, 3), tf.uint8)]  # one trace for images of every size
    labels = tf.function(lambda image: input_size.segment(predictor, image, seen)[0], input_signature=one)
    both = tf.function(lambda image: input_size.segment(predictor, image, seen), input_signature=one)
    return Segmenter(
        lambda image: labels(image[None])[0].numpy(),
        lambda image: tuple(result[0].numpy() for result in both(image[None])),
        loaded.dataset,
        settings,
        notice,
        batches.of_predictor(predictor, seen),
    )


def _settings(config, loaded, seen):
    """Returns the settings of a `Segmenter` that is a checkpoint."""
    window = dataclasses.asdict(config.tiles) if config.tiles.tile_size else {}
    resized = {"input_size": seen.card()} if seen.fit_into and not window else {}
    return {
        "checkpoint": output_folder.network_name(loaded.checkpoint),
        "step": loaded.step,
        **{
            f"network.{name}": output_folder.network_name(value) if places.is_path(value) else value
            for name, (value, _default) in differences(loaded.config, ModelConfig()).items()
        },
        "dataset": loaded.dataset and loaded.dataset.name,
        "use_moving_averages": config.use_moving_averages,
        **({"zero_untrained_taps": True} if config.zero_untrained_taps else {}),
        "crop_size": config.crop_size,
        **dataclasses.asdict(config.passes),
        **window,
        **resized,
        **_tf32(),
    }


def _tf32():
    """Returns the setting of labels that were computed in TF32. Without it, folders from before the flag go on."""
    return {"tf32": True} if devices.computes_in_tf32() else {}


def _run(jobs, segmenter, config, problems=()):
    """Does the jobs that are not finished, and prints a summary. Returns the exit code.

    A file that can't be segmented is reported and skipped, so that it does not stop the others. `problems` are
    sentences about folders, which count as failed, too.
    """
    waiting = [job for job in jobs if not job.is_finished]
    failed, pictures, began = len(problems), 0, time.monotonic()
    for problem in problems:
        print(f"failed: {escaping.terminal(problem)}", file=sys.stderr)
    lossy = collections.defaultdict(list)
    if any(not video.is_video(job.path) for job in waiting):
        _tell(filter(None, [predict_images.batch_note(segmenter, config)]))
    with progress_bar.show(len(waiting), "image") as bar, contextlib.closing(_done(waiting, segmenter, config)) as done:
        for job, result, problem in done:
            if problem:
                failed += 1
                bar.write(f"failed: {escaping.terminal(problem)}", file=sys.stderr)
            else:
                pictures += result.pictures
                for loss in result.losses:
                    lossy[loss].append(job.path)
            bar.update()
    _tell(images.describe_losses(lossy))
    rate = pictures / (time.monotonic() - began)
    total = len(jobs) + len(problems)
    print(escaping.terminal(_summary(config.output, total, len(jobs) - len(waiting), failed, rate)))
    return EXIT_SOME_FAILED if failed else 0


def _done(jobs, segmenter, config):
    """Does jobs; yields a `side_by_side.Outcome` for each, in their order. The value is a `predict_images.Result`."""
    stages = predict_images.stages(segmenter, config)
    limits = side_by_side.limits(stages.batch_size(1, 1))
    for is_video, alike in itertools.groupby(jobs, key=lambda job: video.is_video(job.path)):
        if is_video:
            for job in alike:
                yield _attempt_video(job, segmenter, config)
        else:
            with side_by_side.run(alike, stages, limits) as outcomes:
                yield from outcomes


def _attempt_video(job, segmenter, config):
    """Does the job of a video."""
    try:
        return side_by_side.Outcome(job, predict_images.Result(_write_video(job, segmenter, config)))
    except Exception as error:
        problem = predict_images.problem(job, error, config)
        if problem is None:
            raise
        return side_by_side.Outcome(job, problem=problem)


def _write_video(job, segmenter, config):
    """Writes the results for one video, frame by frame; returns the number of frames."""
    colors, number = catalog.label_colormap(segmenter.dataset), 0
    with (
        video.read(job.path) as source,
        video.write(job.stem + output_folder.VIDEO, source) as add,
        progress_bar.show(source.count, "frame") as bar,
    ):
        output_folder.make_folder(job)
        if config.save_frames:
            tf.io.gfile.makedirs(job.stem + output_folder.FRAMES)
        for image, moment in source:
            segmenter.notice(job.path, image.shape[:2])
            labels = segmenter.labels(image)
            add(drawing.overlay(image, labels, colors), moment)
            if config.save_frames:
                drawing.save_png(tf.io.gfile.join(job.stem + output_folder.FRAMES, f"{number:06}.png"), labels, colors)
            number += 1
            bar.update()
    return number


def _tell(sentences):
    for sentence in sentences:
        print(f"note: {escaping.terminal(sentence)}", file=sys.stderr)


def _summary(folder, total, before, failed, rate):
    """Returns the last line that is printed."""
    parts = [f"Segmented {total - before - failed} of {total} images into {folder}"]
    parts += [f"{before} finished before and skipped (--overwrite does them again)"] if before else []
    parts += [f"{failed} failed, see above"] if failed else []
    parts += [f"{rate:.2g} images/s"] if rate else []
    return ", ".join(parts)
