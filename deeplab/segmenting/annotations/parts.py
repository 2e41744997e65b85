"""The annotations of single images, of which those of all images are made.

predict writes one file for each image when the image is segmented. Thus a run that was interrupted goes on, and formats
with one file for all images hold those of earlier runs, too. No format reads these files but this project.
"""

import os
import posixpath
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.files import atomic, formats, paths
from deeplab.segmenting.annotations import shapes

_DECIMALS = 2  # of coordinates in pixels
_BACKGROUND = "background"
_BOX = {"left": int, "top": int, "width": int, "height": int, "counts": [int]}
KIND = formats.Kind(
    "what predict writes about an image for annotations",
    "write it again with predict --overwrite",
    ("image", "path", "size", "shapes"),
    types={
        **{"image": str, "path": str, "size": formats.is_size},
        "shapes": [{"label": int, "rings": [[float]], "mask": (None, _BOX)}],
    },
    most=1 << 30,
)


class Category(NamedTuple):
    """A class that is written: its class id, its id in the user's files, its name and its colour (R, G, B)."""

    label: int
    id: int
    name: str
    color: tuple[int, int, int]


class Annotated(NamedTuple):
    """An image with its shapes.

    Attributes:
      name: its results' path below the output folder without an ending, which no other image has.
      image: its path below the folder of the images.
      path: its path from the output folder, where both are on the disk; else its whole address.
      size: (height, width) in pixels, upright.
      shapes: list of `shapes.Shape`.
    """

    name: str
    image: str
    path: str
    size: tuple[int, int]
    shapes: list[shapes.Shape]


def categories(dataset):
    """Returns the `Category` of each class of a `catalog.Dataset` that is written, in their order.

    A class called background is not outlined, since no tool does: what no shape covers is background. A class whose
    label is to be ignored is none.
    """
    colors, found = catalog.label_colormap(dataset), []
    if dataset.source_colors:
        colors = np.array(dataset.source_colors, np.uint8)
    for label in range(dataset.num_classes):
        name = dataset.class_name(label)
        if not _is_background(name) and label != dataset.ignore_label:
            number = dataset.source_ids[label] if dataset.source_ids else label
            found.append(Category(label, number, name, tuple(map(int, colors[label]))))
    return found


def has_background(dataset):
    """Tells whether one of the classes of a `catalog.Dataset` is called background."""
    return any(_is_background(dataset.class_name(label)) for label in range(dataset.num_classes))


def _is_background(name):
    return name.strip(" _").casefold() == _BACKGROUND


def write(job, labels, wanted, tolerance, folder):
    """Writes the part of an `output_folder.Job` whose labels are (H, W).

    Args:
      job, labels: see above.
      wanted: list of `Category`.
      tolerance: as in `shapes.of_labels`.
      folder: the output folder.
    """
    found = shapes.of_labels(labels, [category.label for category in wanted], tolerance)
    content = {
        "image": job.image,
        "path": _path_from(folder, job.path),
        "size": list(map(int, labels.shape)),
        "shapes": [_content(shape) for shape in found],
    }
    tf.io.gfile.makedirs(posixpath.dirname(job.part))
    atomic.write(job.part, KIND.text(content, indent=None))


def read(name, path):
    """Returns the `Annotated` of a part; raises a UserError if the file is damaged."""
    content = KIND.read(path)
    try:
        found = [_shape(shape) for shape in content["shapes"]]
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: not {KIND.name} ({error}); {KIND.way_out}") from None
    return Annotated(name, content["image"], content["path"], tuple(content["size"]), found)


def _content(shape: shapes.Shape) -> dict[str, Any]:
    rings = [np.round(ring, _DECIMALS).reshape(-1).tolist() for ring in shape.rings]
    return {"label": shape.label, "rings": rings, "mask": shape.mask and shape.mask._asdict()}


def _shape(content):
    rings = [np.array(ring, float).reshape(-1, 2) for ring in content["rings"]]
    if not rings or any(len(ring) < 3 for ring in rings):
        raise ValueError("a polygon with fewer than three points")
    mask = shapes.Mask(**content["mask"]) if content["mask"] else None
    return shapes.Shape(content["label"], rings, mask)


def _path_from(folder, path):
    """Returns the path of an image as seen from a folder, with slashes; its whole address if one of both is remote."""
    if paths.is_remote(path) or paths.is_remote(folder):
        return path
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder)).replace(os.sep, "/")
