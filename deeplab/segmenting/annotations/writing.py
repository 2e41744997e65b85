"""Writes the annotations of all images of an output folder: the formats that somebody asked for."""

import posixpath

import tensorflow as tf

from deeplab.files import atomic
from deeplab.inference import output_folder
from deeplab.segmenting.annotations import coco, cvat, label_studio, labelme, parts, yolo

_WHOLE = {"coco": coco, "cvat": cvat, "label-studio": label_studio}  # one file for all images
_SINGLE = {"labelme": labelme, "yolo": yolo}  # one file for each image


def write(folder, formats, dataset):
    """Writes the annotations of all images that have a part, those of earlier runs included.

    Every file is there whole or not at all.

    Args:
      folder: the output folder.
      formats: names of formats, as in --write.
      dataset: the `catalog.Dataset` of the classes.

    Returns:
      A list with what was written for each format, e.g. "OUT/coco/annotations.json".

    Raises:
      UserError: a part is damaged.
    """
    found, categories = output_folder.parts(folder), parts.categories(dataset)
    written = []
    for name in formats:
        annotated = (parts.read(image, path) for image, path in found.items())
        if name in _WHOLE:
            written.append(_write_whole(folder, _WHOLE[name], annotated, categories))
        else:
            written.append(_write_single(folder, _SINGLE[name], annotated, categories))
    if "label-studio" in formats:
        _write(folder, label_studio.INTERFACE, label_studio.interface(categories))
    if "labelme" in formats:
        _write(folder, labelme.LABELS, labelme.labels(categories, parts.has_background(dataset)))
    if "yolo" in formats:
        _write(folder, yolo.NAMES, yolo.names(categories))
    return written


def _write_whole(folder, format, annotated, categories):
    path = _made(folder, format.FILE)
    with atomic.replacing(path) as unfinished, tf.io.gfile.GFile(unfinished, "w") as file:
        format.write(file.write, annotated, categories)
    return path


def _write_single(folder, format, annotated, categories):
    for one in annotated:
        _write(folder, posixpath.join(format.FOLDER, one.name + format.ENDING), format.text(one, categories))
    return posixpath.join(folder, format.FOLDER)


def _write(folder, name, text):
    atomic.write(_made(folder, name), text)


def _made(folder, name):
    """Returns the path of a file in the output folder, and makes the folder that the file lies in."""
    path = posixpath.join(folder, name)
    tf.io.gfile.makedirs(posixpath.dirname(path))
    return path
