"""Masks that number objects, made into masks of classes: background, the objects, and their borders if wanted.

An object is a value of its own in an image of 8, 16 or 32 bits, an index of a palette, a colour, or a file of its own
in a folder that stands for one label. This module does not import TensorFlow, since worker processes use it.
"""

import os

import numpy as np

from deeplab.data.building import label_rules, listing
from deeplab.errors import UserError
from deeplab.files import paths

OBJECT, BORDER = 1, 2  # labels; 0 is the background


def read(path, rules):
    """Returns the labels (H, W) uint8 of a file, or of a folder of files with one object each.

    Raises:
      UserError: the file cannot be read, is a JPEG, or has values that are no numbers of objects.
      OSError: the file cannot be opened.
    """
    ids = _of_folder(path) if os.path.isdir(path) else ids_of(label_rules.open_image(paths.read_regular(path)))
    labels = to_labels(ids, rules.border_pixels)
    for value in ignored_values(rules):
        labels[ids == value] = rules.ignore_label
    return labels


def ignored_values(rules):
    """Returns the values that do not count: those for which `rules.lookup` has the ignore label."""
    return [value for value, label in enumerate(rules.lookup or ()) if label == rules.ignore_label]


def lookup(ignore_label, ignore_values):
    """Returns the `lookup` of `LabelRules` for objects, in which `ignore_values` alone, 0 to 255, have a label."""
    return tuple(ignore_label if value in ignore_values else -1 for value in range(256))


def ids_of(image):
    """Returns the numbers of the objects (H, W), 0 for the background, in a PIL image."""
    if image.format == "JPEG":
        raise UserError("JPEG, which changes the numbers of objects; save them as PNG or TIFF")
    if image.mode == "F":
        values = np.asarray(image)
        if not np.array_equal(values, np.rint(values)):
            raise UserError("values that are no whole numbers, and so no numbers of objects")
        return values.astype(np.int64)
    if image.mode in ("RGB", "RGBA", "LA"):
        return label_rules.color_codes(image).astype(np.int64)
    return np.asarray(image).astype(np.int64)


def _of_folder(folder):
    """Returns the numbers of the objects in a folder of masks, each of which has one object in white."""
    ids, first = None, ""
    for number, (name, path) in enumerate(sorted(listing.files_by_name(folder, "label_dir").items()), 1):
        image = label_rules.open_image(paths.read_regular(path))
        mask = ids_of(image if image.mode in ("1", "L", "P") or image.mode.startswith("I") else image.convert("L")) > 0
        if ids is None:
            ids, first = np.zeros(mask.shape, np.int64), name
        if mask.shape != ids.shape:
            raise UserError(f"{name} is {mask.shape[1]}x{mask.shape[0]}, {first} {ids.shape[1]}x{ids.shape[0]}: masks "
                            "of the objects of one image have one size")  # fmt: skip
        ids[mask] = number
    return ids


def to_labels(ids, border_pixels):
    """Returns (H, W) uint8 labels of the numbers of objects (H, W).

    A pixel of an object is border if another object or the background is at most `border_pixels` steps away, a step
    being one pixel up, down, left or right. The edge of the image is no border.
    """
    if ids.min(initial=0) < 0:
        raise UserError(f"number {ids.min()} of an object: expected 0 for the background, and more for objects")
    labels = (ids > 0).astype(np.uint8) * OBJECT
    if not border_pixels:
        return labels
    inside = ids > 0
    same_rows, same_columns = ids[1:] == ids[:-1], ids[:, 1:] == ids[:, :-1]
    inside[1:] &= same_rows
    inside[:-1] &= same_rows
    inside[:, 1:] &= same_columns
    inside[:, :-1] &= same_columns
    for _ in range(border_pixels - 1):
        around = np.pad(inside, 1, mode="edge")
        inside = inside & around[2:, 1:-1] & around[:-2, 1:-1] & around[1:-1, 2:] & around[1:-1, :-2]
    labels[(ids > 0) & ~inside] = BORDER
    return labels


def object_folders(root):
    """Returns ({name: image}, {name: folder of its masks}) of root/NAME/images/X.png and root/NAME/masks/*.png.

    Returns ({}, {}) unless every folder below `root` has both, which is how the Data Science Bowl 2018 is distributed.
    """
    images, labels = {}, {}
    entries = sorted(os.scandir(root), key=lambda e: e.name) if os.path.isdir(root) else []
    for entry in entries:
        if not entry.is_dir() or entry.name.startswith("."):
            continue
        places = [os.path.join(entry.path, kind) for kind in ("images", "masks")]
        if not all(map(os.path.isdir, places)):
            return {}, {}
        found = listing.files_by_name(places[0], "image_dir")
        if len(found) != 1:
            return {}, {}
        name = listing.normalized(entry.name)
        images[name], labels[name] = next(iter(found.values())), places[1]
    return images, labels


def folders_named_as(images, label_dir):
    """Returns {name: folder} of the folders label_dir/NAME with masks of the objects of the image NAME; {} for none."""
    places = {name: os.path.join(label_dir, name) for name in images}
    return {name: place for name, place in places.items() if os.path.isdir(place)}
