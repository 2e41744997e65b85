"""Reads the formats that hold masks already: the layout of Pascal VOC, CVAT's segmentation masks, Roboflow's masks.

Their labels are files, which the builder reads by the rules for masks; here is found which files, lists and classes.
"""

import csv
import os
from typing import NamedTuple

from deeplab.data.annotations import class_table, image_files, json_files
from deeplab.data.annotations.shapes import VOID
from deeplab.data.building import listing
from deeplab.errors import UserError
from deeplab.files import paths

IMAGES = "JPEGImages"
MASKS = ("SegmentationClassPNG", "SegmentationClass", "SegmentationClassAug")  # labelme's converter has the first one
LISTS = os.path.join("ImageSets", "Segmentation")
CLASS_NAMES = "class_names.txt"
LABELMAP = "labelmap.txt"
ROBOFLOW_CLASSES = "_classes.csv"
_ALL = "default"  # CVAT's list of the images that belong to no subset


class MaskFolder(NamedTuple):
    """Images and masks of a folder.

    Attributes:
      format: name of the format, as --format has it.
      images, labels: {name: path}.
      lists: paths of the lists that say the splits; () where there are none.
      class_names: names in the order of the class ids, () where the source has none.
      colors: (R, G, B) of each class in the masks, () where these hold ids.
      ignore_colors: colours of pixels that do not count.
      notes: whole lines about what was left out or odd.
    """

    format: str
    images: dict
    labels: dict
    lists: tuple = ()
    class_names: tuple = ()
    colors: tuple = ()
    ignore_colors: tuple = ()
    notes: tuple = ()


def mask_folder(root):
    """Returns the folder of masks in the layout of Pascal VOC, or None if there is none."""
    candidates = (os.path.join(root, name) for name in MASKS)
    return next((folder for folder in candidates if paths.is_folder(folder) and _has_images(folder)), None)


def _has_images(folder):
    return any(name.lower().endswith(listing.SUFFIXES) for name in paths.listdir(folder))


def read_voc(root, use_lists):
    """Returns the `MaskFolder` of the layout of Pascal VOC, with CVAT's labelmap.txt or without.

    Args:
      root: the folder with JPEGImages and one of `MASKS`.
      use_lists: whether the lists in ImageSets say the splits.
    """
    labels = listing.files_by_name(mask_folder(root), "folder")
    images = listing.files_by_name(os.path.join(root, IMAGES), "folder")
    lists = _lists(os.path.join(root, LISTS)) if use_lists else ()
    notes = []
    if not lists:
        without = [name for name in images if name not in labels]
        if without:
            notes.append(f"{len(without)} images without a mask, left out (first: {without[0]})")
        images = {name: path for name, path in images.items() if name in labels}
    path = os.path.join(root, LABELMAP)
    if not os.path.exists(path):
        return MaskFolder("voc", images, labels, lists, _class_names(root), notes=tuple(notes))
    table, colors = read_labelmap(path)
    ignored = tuple(colors[name] for name, label in table.ids.items() if label == VOID)
    kept = tuple(colors[name] for name in table.names)
    return MaskFolder("cvat", images, labels, lists, table.names, kept, ignored, (*table.notes, *notes))


def _class_names(root):
    """Returns the names in the list that labelme's converter writes, () where there is none."""
    path = os.path.join(root, CLASS_NAMES)
    lines = [line.strip() for line in json_files.text(path).splitlines()] if os.path.exists(path) else []
    return tuple(name for name in lines if name and name.casefold() not in class_table.IGNORED)


def _lists(folder):
    """Returns the paths of the lists in a folder, without the list of all images and sums of other lists."""
    if not os.path.isdir(folder):
        return ()
    found = {os.path.splitext(name)[0]: name for name in sorted(os.listdir(folder)) if name.endswith(".txt")}
    found = {stem: name for stem, name in found.items() if json_files.text(os.path.join(folder, name)).strip()}
    found.pop(_ALL, None)
    if {"train", "val"} <= found.keys():
        found.pop("trainval", None)
    return tuple(os.path.join(folder, name) for name in found.values())


def read_labelmap(path):
    """Returns (`class_table.ClassTable`, {name: colour}) of CVAT's labelmap.txt.

    Its lines are name:red,green,blue:parts:actions. The order is that of the file. Raises a UserError that names the
    line which is not understood.
    """
    colors = {}
    for number, line in enumerate(json_files.text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.rsplit(":", 3)
        try:
            red, green, blue = (int(value) for value in rest[0].split(","))
        except (ValueError, IndexError):
            raise UserError(f"{path}: line {number}: {line!r} is not name:red,green,blue:parts:actions") from None
        if name in colors or not name.strip() or not all(0 <= value <= 255 for value in (red, green, blue)):
            raise UserError(f"{path}: line {number}: {line!r}: expected a new name and three numbers 0 to 255")
        if (red, green, blue) in colors.values():
            raise UserError(f"{path}: line {number}: {line!r}: another class has this colour")
        colors[name] = (red, green, blue)
    void = [name for name in colors if name.casefold() in class_table.IGNORED]
    names = tuple(name for name in colors if name not in void)
    if not names:
        raise UserError(f"{path}: names no classes")
    ids = {**{name: label for label, name in enumerate(names)}, **dict.fromkeys(void, VOID)}
    notes = tuple(f"{name!r} does not count: its pixels get the ignore label" for name in void)
    return class_table.ClassTable(names, ids, notes), colors


def read_roboflow(root, folders):
    """Returns the `MaskFolder` of Roboflow's masks: NAME.jpg and NAME_mask.png side by side in each of `folders`.

    Raises:
      UserError: the folders list different classes, or the pixel values of classes are not 0, 1, 2 and so on.
    """
    classes = {folder: read_pixel_values(os.path.join(folder, ROBOFLOW_CLASSES)) for folder in folders}
    first, *others = classes
    for other in others:
        if classes[other] != classes[first]:
            raise UserError(f"{other}: {ROBOFLOW_CLASSES} lists other classes than that of {first}; build them apart")
    images, labels = {}, {}
    for folder in folders:
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{image_files.split_of(inside) or inside}/"
        files = listing.images_and_labels(folder, folder, label_suffix="_mask")
        for all_files, own in zip((images, labels), files, strict=True):
            all_files.update({prefix + name: path for name, path in own.items()})
    return MaskFolder("roboflow_masks", images, labels, class_names=classes[first])


def read_pixel_values(path):
    """Returns the names of classes in _classes.csv, whose rows are pixel value and name after a header.

    Raises:
      UserError: a row is something else, or the pixel values are not 0, 1, 2 and so on.
    """
    names = {}
    rows = csv.reader(json_files.text(path).splitlines(), skipinitialspace=True)
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and not cells[0].isdecimal()):
            continue
        if len(cells) < 2 or not cells[0].isdecimal() or not cells[1] or int(cells[0]) in names:
            raise UserError(f"{path}: line {number}: {','.join(row)!r} is no new pixel value with a name")
        names[int(cells[0])] = cells[1]
    if sorted(names) != list(range(len(names))) or not names:
        raise UserError(f"{path}: the pixel values are {sorted(names)}; expected 0, 1, 2 and so on, one for each class")
    return tuple(names[value] for value in sorted(names))
