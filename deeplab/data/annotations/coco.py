"""Reads COCO instances: JSON files with images, categories and annotations.

Source of the format: cocodataset.org/#format-data. Roboflow, CVAT, labelme2coco, Label Studio and others export it.
"""

import collections
import os

import numpy as np

from deeplab.data.annotations import class_table, drawing, image_files, json_files
from deeplab.data.annotations.found import Found, Notes
from deeplab.data.annotations.shapes import VOID, Drawing
from deeplab.errors import UserError


def read(folder, files, options):
    """Returns the `Found` of COCO files.

    Args:
      folder: the folder that the user named.
      files: paths of the JSON files in it; a name or a folder such as train or val says which split a file is.
      options: `found.Options`.

    Raises:
      UserError: a file is damaged or contradicts itself; the message names the place.
    """
    files = _preferred(files)
    sources = {path: json_files.read(path) for path in files}
    notes = Notes()
    used = {path: _used_categories(values, path) for path, values in sources.items()}
    names = {path: _category_names(values, used[path], path, notes) for path, values in sources.items()}
    where = os.path.basename(files[0]) if len(files) == 1 else f"{len(files)} COCO files"
    known = list(dict.fromkeys(name for of_file in names.values() for name in of_file.values()))
    if not known:
        raise UserError(f"{files[0]}: names no categories, so that there are no classes; export it with them")
    table = class_table.make(known, options.class_names, where)
    finder, pairs = image_files.ImageFiles(folder, options.image_dirs), image_files.Pairs()
    for path in files:
        labels = {number: table.ids[name] for number, name in names[path].items()}
        _add_images(path, sources.pop(path), labels, finder, pairs, options.on_top, notes)
    notes.many(finder.unused(pairs.images.values()), "images in the folder that no annotation file names, left out")
    ids = {name: number for of_file in names.values() for number, name in of_file.items()}
    return Found(
        "coco", pairs.images, pairs.labels, table.names, source_ids=table.in_order(ids),
        notes=table.notes + notes.lines(),
    )  # fmt: skip


def _preferred(files):
    """Returns the files of outlines where there are others, such as captions, beside them."""
    instances = [path for path in files if os.path.basename(path).startswith("instances")]
    return instances or list(files)


def _used_categories(values, path):
    """Returns the Counter of category ids of the annotations, after checking that the file has what it must have."""
    for key in ("images", "categories", "annotations"):
        json_files.entries(values, key, path)
    return collections.Counter(annotation.get("category_id") for annotation in values["annotations"])


def _category_names(values, used, path, notes):
    """Returns {category id: name}, without the group of Roboflow that no annotation uses.

    Raises:
      UserError: a category has no id or name, two have one id, or annotations have an id of no category.
    """
    names, groups = {}, {category.get("supercategory") for category in values["categories"]}
    for category in sorted(values["categories"], key=lambda category: str(category.get("id")).zfill(12)):
        number, name = category.get("id"), str(category.get("name") or "").strip()
        if not isinstance(number, int) or not name:
            raise UserError(f"{path}: category {category}: expected an id, a whole number, and a name")
        if number in names:
            raise UserError(f"{path}: two categories have the id {number}: {names[number]!r} and {name!r}")
        if not used[number] and number == 0 and category.get("supercategory") == "none" and len(groups) > 1:
            notes.add(f"group category left out, which no annotation uses: {name!r} (id 0)")
            continue
        if name in names.values():
            other = next(same for same, known in names.items() if known == name)
            notes.add(f"category joined with another one of its name: {name!r} (ids {other} and {number})")
        names[number] = name
    unknown = [number for number in used if number not in names]
    if unknown:
        raise UserError(
            f"{path}: {used[unknown[0]]} annotations have the category_id {unknown[0]!r}, which no category has; the "
            f"ids are {', '.join(map(str, list(names)[:20]))}"
        )
    return names


def _add_images(path, values, labels, finder, pairs, on_top, notes):
    """Adds the images of a file to `pairs`; `labels` is {category id: class id or VOID}."""
    images = {}
    for image in values["images"]:
        if image.get("id") in images:
            raise UserError(f"{path}: two images have the id {image.get('id')!r}; export it again")
        images[image.get("id")] = image
    sizes = {number: _size(image, path) for number, image in images.items()}
    shapes = _shapes(path, values["annotations"], labels, sizes, notes)
    folder = os.path.dirname(path)
    split = _split(path, finder.root)
    near = (folder, *(os.path.join(root, part) for root in (folder, os.path.dirname(folder)) for part in _places(path)))
    for number, image in images.items():
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{path}: the image of id {number!r} has no file_name")
        found = finder.find(name, near)
        own = shapes.pop(number, [])
        if not own:
            notes.add("images without annotations, all background", name)
        source = f"{path}: {name}"
        drawn = Drawing(source, tuple(own), sizes[number], on_top=on_top)
        missing = os.path.join(finder.root, name.replace("\\", "/").lstrip("/"))
        pairs.add(finder.record_name(found or missing, split), found, drawn)


def _places(path):
    """Returns the folders in which the images of a file usually lie: "train2017" of instances_train2017.json."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return (*image_files.FOLDERS, stem, stem.rpartition("_")[2])


def _split(path, root):
    stem = os.path.splitext(os.path.basename(path))[0]
    return image_files.split_of(os.path.basename(os.path.relpath(os.path.dirname(path), root))) or (
        image_files.split_of(stem)
    )


def _size(image, path):
    if image.get("height") is None or image.get("width") is None:
        return None
    return json_files.size(image["height"], image["width"], f"{path}: image {image.get('file_name')}")


def _shapes(path, annotations, labels, sizes, notes):
    """Returns {image id: [`drawing.Shape`]}; takes the annotations out of their list, whose memory is free then."""
    shapes = collections.defaultdict(list)
    boxes = sum(not annotation.get("segmentation") for annotation in annotations)
    if annotations and boxes == len(annotations):
        raise UserError(
            f"{path}: has boxes only and no outlines (segmentation), as for the detection of objects; export it as "
            "segmentation"
        )
    annotations.reverse()
    while annotations:
        annotation = annotations.pop()
        where = f"{path}: annotation {annotation.get('id')}"
        image = annotation.get("image_id")
        if image not in sizes:
            raise UserError(f"{where}: has the image_id {image!r}, which no image has")
        label = labels[annotation["category_id"]]
        if annotation.get("iscrowd"):
            notes.add("crowd regions, which do not count where nothing else is drawn", where)
            label = VOID
        shape = _shape(annotation, label, where, notes)
        if shape is not None:
            _note_outside(shape, sizes[image], where, notes)
            shapes[image].append(shape)
    return shapes


def _shape(annotation, label, where, notes):
    """Returns the `drawing.Shape` of an annotation, or None if nothing of it can be drawn."""
    outline, beneath = annotation.get("segmentation"), bool(annotation.get("iscrowd"))
    if isinstance(outline, dict):
        size = outline.get("size")
        size = json_files.size(*size, where) if isinstance(size, list) and len(size) == 2 else None
        counts = outline.get("counts")
        if size is None or not isinstance(counts, str | list):
            raise UserError(f"{where}: expected a mask with size, [height, width], and counts")
        if isinstance(counts, list):
            counts = _counts(counts, where)
        return drawing.Shape(label, "rle", (counts, size, (0, 0), True), beneath)
    if not outline:
        box = json_files.points(annotation.get("bbox") or [], where)
        if len(box) != 2:
            notes.add("annotations without outline and box, left out", where)
            return None
        notes.add("annotations without outline, drawn as their boxes", where)
        return drawing.Shape(label, "polygons", (drawing.rectangle(box[0], box[0] + box[1]),), beneath)
    if not isinstance(outline, list):
        raise UserError(f"{where}: its segmentation is neither polygons nor a mask")
    rings = outline if isinstance(outline[0], list) else [outline]
    rings = [json_files.points(ring, where) for ring in rings]
    for ring in rings:
        if len(ring) < 3:
            notes.add("polygons of fewer than 3 points, left out", where)
    rings = tuple(ring for ring in rings if len(ring) > 2)
    return drawing.Shape(label, "polygons", rings, beneath) if rings else None


def _counts(counts, where):
    try:
        return np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{where}: its counts are not whole numbers") from None


def _note_outside(shape, size, where, notes):
    """Notes a shape of polygons that lies partly or wholly outside its image; it is cut off at the edge."""
    if size is None or shape.kind not in ("polygons", "rings"):
        return
    (left, top), (right, bottom) = drawing.extent(shape.data)
    height, width = size
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        notes.add("shapes wholly outside their image", where)
    elif min(left, top) < -1 or right > width + 1 or bottom > height + 1:
        notes.add("shapes that reach beyond their image, cut off at its edge", where)
