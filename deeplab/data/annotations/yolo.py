"""Reads YOLO segmentation: data.yaml, and for each image a text file with one polygon a line.

Source of the format: docs.ultralytics.com/datasets/segment (class, then x y x y as fractions of the image).
"""

import os

import yaml

from deeplab.data.annotations import class_table, drawing, image_files, json_files
from deeplab.data.annotations.found import Found, Notes
from deeplab.data.annotations.shapes import Drawing
from deeplab.data.building import listing
from deeplab.errors import UserError, one_line

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names")
_MOST_BYTES = 1 << 20  # of data.yaml; a list of names is no larger


def read(folder, labels, options):
    """Returns the `Found` of label files.

    Args:
      folder: the folder that the user named, with data.yaml or classes.txt.
      labels: paths of the label files.
      options: `found.Options`.

    Raises:
      UserError: there are no names of classes, or a line of a file is damaged.
    """
    listed, where = names(folder, options.class_names)
    table = class_table.make(_distinct(listed, where), options.class_names, where)
    notes, finder, pairs = Notes(), image_files.ImageFiles(folder, options.image_dirs), image_files.Pairs()
    ids = [table.ids[name] for name in listed]
    by_stem = {_stem(path, folder): path for path in labels}
    boxes = polygons = 0
    for image in _images(finder, folder):
        path = by_stem.pop(_stem(image, folder), None)
        shapes, own_boxes = _shapes(path, ids, notes) if path else ((), 0)
        boxes, polygons = boxes + own_boxes, polygons + len(shapes) - own_boxes
        if not shapes:
            notes.add("images without shapes, all background", image)
        drawn = Drawing(path or image, shapes, relative=True, on_top=options.on_top)
        inside = os.path.relpath(image, folder).replace(os.sep, "/")
        split = next((split for part in inside.split("/")[:-1] if (split := image_files.split_of(part))), "")
        pairs.add(finder.record_name(image, split), image, drawn)
    notes.many(finder.unused(pairs.images.values()), "images outside of the folders named images, left out")
    for path in by_stem.values():
        pairs.add(finder.record_name(path), None, Drawing(path, ()))
    if boxes and not polygons:
        raise UserError(f"{folder}: its label files have boxes only, as for the detection of objects; export outlines")
    notes.many(boxes, "boxes among the polygons, drawn as they are")
    return Found(
        "yolo", pairs.images, pairs.labels, table.names,
        source_ids=table.in_order({name: number for number, name in enumerate(listed)}),
        notes=table.notes + notes.lines(),
    )  # fmt: skip


def _images(finder, folder):
    """Returns the paths of the images: those in folders named images, or all where there is no such folder."""
    inside = [path for path in finder.paths.values() if "images" in os.path.relpath(path, folder).split(os.sep)]
    return inside or list(finder.paths.values())


def _stem(path, folder):
    """Returns what an image and its label file share: the path without extension and without images/ or labels/."""
    parts = os.path.relpath(path, folder).replace(os.sep, "/").split("/")
    parts = [part for part in parts[:-1] if part not in ("images", "labels")] + [os.path.splitext(parts[-1])[0]]
    return listing.normalized("/".join(parts))


def names(folder, given=()):
    """Returns (names of the classes in order, what lists them): a file, or the names `given`, without the first one.

    Raises:
      UserError: nothing lists names, or a file that does is damaged.
    """
    places = [os.path.join(folder, *parts) for name in NAMES for parts in ((name,), ("labels", name))]
    path = next((path for path in places if os.path.exists(path)), None)
    if path is None and given:
        return list(given[1:]), "--class_names"
    if path is None:
        raise UserError(
            f"{folder}: no data.yaml or classes.txt says what the classes of the label files are; add one, or name "
            "them in order: --class_names=background,NAME,NAME"
        )
    text = json_files.text(path)
    if not path.endswith((".yaml", ".yml")):
        return [line.strip() for line in text.splitlines() if line.strip()], os.path.basename(path)
    if len(text) > _MOST_BYTES:
        raise UserError(f"{path}: more than 1 MB; expected names of classes and folders")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{path}: {line}is no YAML ({getattr(error, 'problem', None) or one_line(error)})") from None
    found = values.get("names") if isinstance(values, dict) else None
    if isinstance(found, dict) and sorted(found, key=str) == sorted(range(len(found)), key=str):
        found = [found[number] for number in range(len(found))]
    if not isinstance(found, list) or not found or not all(isinstance(name, str | int | float) for name in found):
        raise UserError(f"{path}: expected names: a list of names, or numbers from 0 with a name each")
    return [str(name).strip() for name in found], os.path.basename(path)


def _distinct(listed, where):
    twice = next((name for name in listed if listed.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: the name {twice!r} occurs twice; give each class a name of its own")
    return listed


def _shapes(path, ids, notes):
    """Returns (shapes, number of boxes among them) of a label file."""
    shapes, boxes = [], 0
    for number, line in enumerate(json_files.text(path).splitlines(), 1):
        where, words = f"{path}: line {number}", line.split()
        if not words:
            continue
        if not words[0].isdecimal() or int(words[0]) >= len(ids):
            raise UserError(f"{where}: class {words[0]!r}; expected a number 0 to {len(ids) - 1}")
        if len(words) % 2 == 0 or len(words) < 5:
            raise UserError(
                f"{where}: {len(words) - 1} numbers after the class; expected pairs x y of 3 or more points"
            )
        ring = json_files.points(words[1:], where)
        if len(ring) == 2:
            center, extent = ring
            ring, boxes = drawing.rectangle(center - extent / 2, center + extent / 2), boxes + 1
        if abs(ring).max() > 2:
            raise UserError(f"{where}: the coordinate {abs(ring).max():g}; expected fractions of the image, 0 to 1")
        if ring.min() < -0.01 or ring.max() > 1.01:
            notes.add("shapes that reach beyond their image, cut off at its edge", where)
        shapes.append(drawing.Shape(ids[int(words[0])], "rings", (ring,)))
    return tuple(shapes), boxes
