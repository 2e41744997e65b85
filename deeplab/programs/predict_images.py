"""What predict does with photographs: they are read, segmented and written side by side."""

import io
from typing import NamedTuple

import numpy as np

from deeplab.config.results import written
from deeplab.data import catalog
from deeplab.errors import UserError, lack_of_memory
from deeplab.files import atomic
from deeplab.inference import batch_size, output_folder, side_by_side, tiles
from deeplab.layers import hardware
from deeplab.pictures import drawing, images, mask_ids
from deeplab.pictures.bands import files, shown
from deeplab.segmenting.annotations import parts


class Result(NamedTuple):
    """How many images or frames of a file were segmented, and the `images.LOSSES` of the file."""

    pictures: int
    losses: tuple[str, ...] = ()


def stages(segmenter, config):
    """Returns the `side_by_side.Stages` of a job that is an image."""
    batched = _batched(segmenter, config)
    segment = segmenter.with_probabilities if config.save_probabilities else segmenter.labels
    colors = catalog.label_colormap(segmenter.dataset)
    ids, categories = mask_ids.of_dataset(segmenter.dataset, colors), parts.categories(segmenter.dataset)

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
        output_folder.make_folder(job)
        labels, probabilities = result if config.save_probabilities else (result, None)
        if probabilities is not None:
            _write_probabilities(job, probabilities)
        if config.written.annotations:
            parts.write(job, labels, categories, config.written.polygon_tolerance, config.output)
        if written.PNG in config.written.write:
            _write_pictures(job, picture.pixels, labels, colors, ids)
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


def _write_probabilities(job, probabilities):
    """Writes probabilities (H, W, K) as NAME.npz."""
    content = io.BytesIO()
    np.savez_compressed(content, probabilities=probabilities.astype(np.float16))
    atomic.write(job.stem + output_folder.PROBABILITIES, content.getvalue())


def _write_pictures(job, image, labels, colors, ids):
    """Writes the pictures for one image; `ids`: the `MaskIds` of NAME.png."""
    drawing.save_png(job.stem + output_folder.OVERLAY, drawing.overlay(shown.rgb(image), labels, colors))
    drawing.save_png(job.stem + output_folder.IDS, ids.of(labels), ids.palette)
