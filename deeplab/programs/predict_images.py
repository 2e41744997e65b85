"""What predict does with photographs: they are read, segmented and written side by side."""

import io
from typing import NamedTuple

import numpy as np

from deeplab.data import catalog
from deeplab.errors import UserError, lack_of_memory
from deeplab.files import atomic
from deeplab.inference import batch_size, output_folder, side_by_side, tiles
from deeplab.layers import hardware
from deeplab.pictures import drawing, images
from deeplab.pictures.bands import files, shown


class Result(NamedTuple):
    """How many images or frames of a file were segmented, and the `images.LOSSES` of the file."""

    pictures: int
    losses: tuple[str, ...] = ()


def stages(segmenter, config):
    """Returns the `side_by_side.Stages` of a job that is an image."""
    batched = _batched(segmenter, config)
    segment = segmenter.with_probabilities if config.save_probabilities else segmenter.labels
    colors = catalog.label_colormap(segmenter.dataset)

    def most(height, width):
        return batch_size.images_at_once(config.batch_size, height, width) if batched else 1

    def start(opened):
        for job, picture in opened:
            segmenter.notice(job.path, picture.pixels.shape[:2])
        pixels = [picture.pixels for _job, picture in opened]
        if most(1, 1) == 1:
            return lambda: [segment(image) for image in pixels]
        return batched.start(pixels) if hardware.is_accelerated() else lambda: batched.start(pixels)()

    def write(job, opened, result):
        picture = opened[1]
        labels, probabilities = result if config.save_probabilities else (result, None)
        _write_image(job, picture.pixels, labels, probabilities, colors)
        return Result(1, picture.losses)

    return side_by_side.Stages(
        measure=lambda job: images.size(job.path),
        read=lambda job: (job, files.open_picture(job.path, segmenter.dataset, config.max_image_pixels)),
        key=batched.key if batched else lambda height, width: (height, width),
        batch_size=most,
        start=start,
        write=write,
        problem=lambda job, error: problem(job, error, config),
    )


def batch_note(segmenter, config):
    """Returns the sentence that says how many images are segmented at once, or "" if it needs no saying."""
    return batch_size.note(config.batch_size, "batch_size") if _batched(segmenter, config) else ""


def _batched(segmenter, config):
    """Returns the `batches.Batched` to use, or None: probabilities of several images are too much for the memory."""
    return None if config.save_probabilities else segmenter.batched


def problem(job, error, config):
    """Returns what an error means for one job, or None if it is no error of this job alone."""
    if isinstance(error, UserError):
        return str(error)
    lack = lack_of_memory(error)
    if not lack:  # a full disk, for example: the other files can't be written either
        return None
    way_out = tiles.LESS_THAN_AN_EXPORT
    if not config.saved_model:
        way_out = tiles.less_memory(config.tiles, config.passes.eval_scales)
    return f"{job.path}: needs more memory than there is; {way_out} ({lack})"


def _write_image(job, image, labels, probabilities, colors):
    """Writes the results for one image; `probabilities` may be None."""
    output_folder.make_folder(job)
    if probabilities is not None:
        content = io.BytesIO()
        np.savez_compressed(content, probabilities=probabilities.astype(np.float16))
        atomic.write(job.stem + output_folder.PROBABILITIES, content.getvalue())
    drawing.save_png(job.stem + output_folder.OVERLAY, drawing.overlay(shown.rgb(image), labels, colors))
    drawing.save_png(job.stem + output_folder.IDS, labels, colors)
