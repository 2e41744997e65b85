"""Segments photographs and videos: `python -m deeplab.predict`."""

import collections
import contextlib
import itertools
import sys
import time

import tensorflow as tf

from deeplab import devices
from deeplab.config.results.written import WrittenConfig
from deeplab.data import catalog
from deeplab.files import escaping, locks, progress_bar
from deeplab.inference import (
    input_files,
    output_folder,
    side_by_side,
)
from deeplab.pictures import drawing, images, mask_ids, video
from deeplab.pictures.bands import files
from deeplab.programs import predict_images
from deeplab.segmenting import opening, polygons
from deeplab.segmenting.annotations import writing

EXIT_SOME_FAILED = 1


@devices.as_configured
def predict(config):
    """Segments the files that `config`, a `PredictConfig`, names; returns the exit code."""
    images.allow(config.max_image_pixels)
    # From what: photographs and videos. None may lie in the output folder, or results would be inputs the next time.
    found = input_files.find(config.input, config.output)
    output_folder.refuse_inputs(config.output, found.files)
    _tell([*found.notes, *_without_effect(config, found.files)])

    # What: an export, or a checkpoint.
    if config.written.annotations:
        polygons.require()
    segmenter = opening.open_export(config) if config.saved_model else opening.open_checkpoint(config)
    segmenter = opening.as_written(segmenter, config.written)

    # Where: a folder that remembers what is finished, and by which network.
    tf.io.gfile.makedirs(config.output)
    with locks.hold(config.output, "output"):
        jobs = output_folder.plan(config.output, found.files, segmenter.settings, config)
        # Go: one file after the other.
        return _run(jobs, segmenter, config, found.problems)


def _without_effect(config, files):
    """Returns a sentence for each option that changes nothing, because there is no input of the kind it is for."""
    videos = [video.is_video(file.path) for file in files]
    needs = (
        ("save_frames", config.save_frames, "video", any(videos)),
        ("save_probabilities", config.save_probabilities, "image", not all(videos)),
        ("write", config.written.write != WrittenConfig().write, "image", not all(videos)),
    )
    return [
        f"--{name} has no effect, because there is no {kind} among the inputs"
        for name, is_given, kind, is_there in needs
        if is_given and not is_there
    ]


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
    if waiting:
        _tell(filter(None, [mask_ids.sentence(segmenter.dataset)]))
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
    for path in writing.write(config.output, config.written.annotations, segmenter.dataset):
        print(escaping.terminal(f"Wrote {path}"))
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
    files.refuse_video(job.path, segmenter.dataset)
    colors, number = catalog.label_colormap(segmenter.dataset), 0
    ids = mask_ids.of_dataset(segmenter.dataset, colors)
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
                path = tf.io.gfile.join(job.stem + output_folder.FRAMES, f"{number:06}.png")
                drawing.save_png(path, ids.of(labels), ids.palette)
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
