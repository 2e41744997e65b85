"""Draws what a checkpoint predicts on a split: the story of `python -m deeplab.vis`."""

import concurrent.futures
import contextlib

import numpy as np
import tensorflow as tf

from deeplab import devices, memory
from deeplab.data import catalog
from deeplab.data.building.listing import without_extension
from deeplab.evaluation.split_predictor import predicted_images, restore_split_predictor
from deeplab.files import escaping, locks
from deeplab.pictures import drawing, mask_ids

_GREY = ("cityscapes", "ade20k")  # their evaluation servers take PNGs of one channel without a palette
_COLORMAPS = {"pascal": "pascal_voc_seg", "cityscapes": "cityscapes", "ade20k": "ade20k"}  # --colormap_type: data set


@devices.as_configured
def visualize(config):
    """Draws the images of one split as `config`, a `VisConfig`, says."""
    # What, and from what: the network as it was trained, and the images of the split.
    loaded, split_predictor = restore_split_predictor(config, config.vis_split, config.vis_crop_size)
    split = split_predictor.split
    total = min(len(split), config.max_images or len(split))

    # Where: pictures for the eye, and beside them class ids for programs. The names of the folders are the reference's.
    folder = config.vis_logdir or tf.io.gfile.join(loaded.folder, f"vis_{config.vis_split}")
    pictures = tf.io.gfile.join(folder, "segmentation_results")
    raw = tf.io.gfile.join(folder, "raw_segmentation_results")

    # Go: one picture for each image.
    colors = _label_colors(split.dataset, config.colormap_type)
    raw_folder = raw if config.also_save_raw_predictions else None
    tf.io.gfile.makedirs(folder)
    with (
        locks.hold(folder, "vis_logdir"),
        memory.told(lambda: split_predictor.describe(config.vis_batch_size), lambda size: _less_memory(config)),
        contextlib.closing(predicted_images(split_predictor, config.vis_batch_size, total)) as found,
        concurrent.futures.ThreadPoolExecutor(1) as thread,
    ):
        before, taken = None, set()  # what the thread draws while the network looks at the next image; and names
        for predicted in found:
            if before is not None:
                before.result()
            name = _png_name(predicted.filename, taken)
            where = pictures, raw_folder
            before = thread.submit(_write, predicted, name, split.dataset, colors, where, config.ids.class_ids)
        if before is not None:
            before.result()
    print(f"Wrote {total} pictures to {pictures}" + (f", ids to {raw}" * config.also_save_raw_predictions))
    if config.also_save_raw_predictions and not config.ids.class_ids and mask_ids.sentence(split.dataset):
        print(escaping.terminal(mask_ids.sentence(split.dataset)))


def _write(predicted, name, dataset, colors, where, class_ids):
    """Writes the picture of a `PredictedImage` as `name`, and its ids unless the second folder of `where` is None."""
    pictures, raw = where
    drawing.save_png(_png_path(pictures, name), _draw(predicted, dataset, colors))
    if raw is not None:
        drawing.save_png(_png_path(raw, name), *server_ids(predicted.prediction, dataset, class_ids))


def _less_memory(config):
    """Returns which options need less memory, a text."""
    if config.vis_batch_size > 1:
        return f"--vis_batch_size={config.vis_batch_size // 2} needs about half of that"
    return "python -m deeplab.predict --tile_size=513,513 draws large images in tiles"


def server_ids(labels, dataset, class_ids=False):
    """Returns ids (H, W) as the evaluation server of the data set expects them, and their palette or None.

    They are class ids with --class_ids, else those of `mask_ids`, of which no server expects others. The server of
    Cityscapes counts classes as the raw labels do, not as the training ids. PASCAL VOC exchanges PNGs with a palette,
    (256, 3) uint8, and data sets without a server get one, too, so that viewers show the classes.
    """
    known = mask_ids.of_dataset(mask_ids.without(dataset) if class_ids else dataset, catalog.label_colormap(dataset))
    ids, palette = known.of(labels), None if dataset.name in _GREY else known.palette
    if dataset.name == "cityscapes" and not class_ids and known.ids is None:
        ids = np.asarray(catalog.CITYSCAPES_RAW_IDS)[labels]
    return ids, palette


def _label_colors(dataset, colormap_type=None):
    """Returns the colours (256, 3) uint8 of labels: those of the data set, or of the one that `colormap_type` names."""
    source = catalog.CATALOG[_COLORMAPS[colormap_type]] if colormap_type else dataset
    return drawing.with_ignore_color(catalog.label_colormap(source), dataset.ignore_label, dataset.num_classes)


def _png_name(filename, taken):
    """Returns the path below a folder of pictures for the file name in a record, and adds it to the set `taken`.

    File names may have folders and suffixes. Parts that lead out of the folder are left out, and what no file system
    takes is replaced. A name that another record has already gets a number, so that no picture replaces another.
    """
    parts = [part for part in without_extension(filename).split("/") if part not in ("", ".", "..")]
    wanted = "/".join(map(escaping.file_name, parts)) or "_"
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return f"{name}.png"


def _png_path(folder, name):
    """Returns the path of a picture, and makes the folder that it lies in."""
    path = tf.io.gfile.join(folder, name)
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    return path


def _draw(predicted, dataset, colors):
    """Returns the picture of a `PredictedImage`: five pictures side by side above a legend of the classes in it."""
    image, label, prediction = predicted.image, predicted.label, predicted.prediction
    pictures = [
        ("image", image),
        ("truth", drawing.colorize(label, colors)),
        ("prediction", drawing.colorize(prediction, colors)),
        ("overlay", drawing.overlay(image, prediction, colors)),
        (_errors_title(label, prediction, dataset), drawing.error_map(label, prediction, dataset.ignore_label)),
    ]
    names = [dataset.class_name(number) for number in range(dataset.num_classes)]
    return drawing.panel(pictures, drawing.legend([label, prediction], names, colors, dataset.ignore_label))


def _errors_title(label, prediction, dataset):
    wrong = (label != prediction)[label != dataset.ignore_label]
    return f"errors (red): {100 * wrong.mean():.1f} %" if wrong.size else "errors: nothing is labelled"
