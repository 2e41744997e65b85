"""Segments files: `python -m deeplab.predict`."""

import dataclasses
import io
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from deeplab.errors import UserError

EXIT_SOME_FAILED = 1
_NO_SPACE = "No space left"  # of the system's message about a full disk, where TensorFlow has one error for both
_LABELS, _PROBABILITIES = "SemanticPredictions", "SemanticProbabilities"  # of the signature `reference`


def predict(config):
    """Segments the files that `config`, a `PredictConfig`, names; returns the exit code."""
    import tensorflow as tf

    from deeplab.files import locks
    from deeplab.inference import output_folder
    from deeplab.pictures import images, video

    # From what, with what, where to.
    paths = images.find(config.input, images.SUFFIXES + video.SUFFIXES)
    output_folder.refuse_inputs(config.output, paths)
    network = _exported(config) if config.saved_model else _trained(config)
    tf.io.gfile.makedirs(config.output)
    with locks.hold(config.output, "output"):
        jobs = output_folder.plan(config.output, paths, network.settings, config)
        return _segment(jobs, network, config)


def _segment(jobs, network, config):
    """Does what is not finished; a bad file does not stop the others. Returns the exit code."""
    from deeplab.files import progress_bar

    waiting = [job for job in jobs if not job.is_finished]
    failed, pictures, began = 0, 0, time.monotonic()
    with progress_bar.show(len(waiting), "image") as bar:
        for job in waiting:
            done, problem = _attempt(job, network, config)
            pictures += done
            if problem:
                failed += 1
                bar.write(f"skipped {problem}", file=sys.stderr)
            bar.update()
    rate = pictures / (time.monotonic() - began)
    print(_summary(config.output, len(jobs), len(jobs) - len(waiting), failed, rate))
    return EXIT_SOME_FAILED if failed else 0


def _attempt(job, network, config):
    """Returns (number of images or frames segmented, what went wrong or None)."""
    import tensorflow as tf

    from deeplab.pictures import video

    write = _write_video if video.is_video(job.path) else _write_image
    try:
        return write(job, network, config), None
    except UserError as error:
        return 0, str(error)
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if _NO_SPACE in str(error):  # the disk: nothing more can be written
            raise
        return 0, f"{job.path}: needs more memory than there is; --checkpoint_dir with --tile_size=513,513 needs less"


def _summary(folder, total, before, failed, rate):
    parts = [f"Segmented {total - before - failed} of {total} images into {folder}"]
    parts += [f"{before} were finished before (--overwrite does them again)"] if before else []
    parts += [f"{failed} skipped, see above"] if failed else []
    parts += [f"{rate:.2g} images/s"] if rate else []
    return ", ".join(parts)


class _Network(NamedTuple):
    """What segments, whether it is a checkpoint or an export."""

    labels: Callable  # (H, W, 3) uint8 -> (H, W) int32
    with_probabilities: Callable  # the same -> the same, (H, W, K) float32
    dataset: Any  # the `catalog.Dataset`, for its colours
    settings: dict  # all that the results depend on but the image


def _trained(config):
    """Returns the `_Network` of a checkpoint."""
    import tensorflow as tf

    from deeplab.data import catalog
    from deeplab.inference import tiles as sliding
    from deeplab.inference import trained
    from deeplab.inference.predictor import Predictor

    named = catalog.load(None, config.dataset_name)
    loaded = trained.load(
        config.checkpoint_dir, config.checkpoint, config.model, config.model_defaults, named, config.use_moving_averages
    )
    passes, settings = config.passes, _settings(config, loaded)
    predictor = Predictor(loaded.model, config.crop_size, passes.eval_scales, passes.add_flipped_images)
    if config.tiles.tile_size:
        window = sliding.window(predictor, config.tiles)
        return _Network(window, window.with_probabilities, loaded.dataset, settings)
    one = [tf.TensorSpec((1, None, None, 3), tf.uint8)]
    labels = tf.function(lambda images: predictor(images)[0], input_signature=one)
    both = tf.function(lambda images: predictor(images), input_signature=one)
    return _Network(
        lambda image: labels(image[None])[0].numpy(),
        lambda image: [result[0].numpy() for result in both(image[None])],
        loaded.dataset,
        settings,
    )


def _settings(config, loaded):
    from deeplab.config.model import ModelConfig
    from deeplab.config.options import differences
    from deeplab.inference import output_folder

    tiles = dataclasses.asdict(config.tiles) if config.tiles.tile_size else {}
    return {
        "checkpoint": output_folder.absolute(loaded.checkpoint),
        "step": loaded.step,
        **{f"network.{name}": value for name, (value, _default) in differences(loaded.config, ModelConfig()).items()},
        "dataset": loaded.dataset and loaded.dataset.name,
        "use_moving_averages": config.use_moving_averages,
        "crop_size": config.crop_size,
        **dataclasses.asdict(config.passes),
        **tiles,
    }


def _exported(config):
    """Returns the `_Network` of a SavedModel that export wrote."""
    import tensorflow as tf

    from deeplab.data import catalog
    from deeplab.inference import exports, output_folder

    found = exports.newest(config.saved_model)
    if found is None:
        raise UserError(f"--saved_model={config.saved_model}: no SavedModel there; name DIR or DIR/VERSION")
    folder = found.path
    try:
        module = tf.saved_model.load(folder)
        segment = module.signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--saved_model={config.saved_model}: no SavedModel ({reason}); name DIR/VERSION") from None
    reference = module.signatures.get("reference")  # gives probabilities whatever serving_default was asked for
    if config.save_probabilities and (reference is None or _PROBABILITIES not in reference.structured_outputs):
        raise UserError(
            f"--save_probabilities: {folder} gives none (no signature `reference`); export it again, or use "
            "--checkpoint_dir"
        )
    settings = {"saved_model": output_folder.absolute(folder), **output_folder.identity(f"{folder}/saved_model.pb")}

    def with_probabilities(image):
        results = reference(ImageTensor=tf.constant(image[None]))
        return results[_LABELS][0].numpy(), results[_PROBABILITIES][0].numpy()

    return _Network(
        lambda image: segment(images=tf.constant(image[None]))["labels"][0].numpy(),
        with_probabilities,
        catalog.load(folder, config.dataset),
        settings,
    )


def _write_image(job, network, config):
    """Writes what belongs to one image; returns 1, the number of images."""
    import numpy as np

    from deeplab.data import catalog
    from deeplab.files import atomic
    from deeplab.inference import output_folder
    from deeplab.pictures import drawing, images

    image = images.read(job.path)
    if config.save_probabilities:
        labels, probabilities = network.with_probabilities(image)
        content = io.BytesIO()
        np.savez_compressed(content, probabilities=probabilities.astype(np.float16))
        atomic.write(job.stem + output_folder.PROBABILITIES, content.getvalue())
    else:
        labels = network.labels(image)
    drawing.save_png(
        job.stem + output_folder.OVERLAY, drawing.overlay(image, labels, catalog.label_colormap(network.dataset))
    )
    drawing.save_png(job.stem + output_folder.IDS, labels)
    return 1


def _write_video(job, network, config):
    """Writes what belongs to one video, a frame at a time; returns the number of frames."""
    import tensorflow as tf

    from deeplab.data import catalog
    from deeplab.files import progress_bar
    from deeplab.inference import output_folder
    from deeplab.pictures import drawing, video

    colors, number = catalog.label_colormap(network.dataset), 0
    with (
        video.read(job.path) as source,
        video.write(job.stem + output_folder.VIDEO, source) as add,
        progress_bar.show(source.count, "frame") as bar,
    ):
        if config.save_frames:
            tf.io.gfile.makedirs(job.stem + output_folder.FRAMES)
        for image, moment in source:
            labels = network.labels(image)
            add(drawing.overlay(image, labels, colors), moment)
            if config.save_frames:
                drawing.save_png(tf.io.gfile.join(job.stem + output_folder.FRAMES, f"{number:06}.png"), labels)
            number += 1
            bar.update()
    return number
