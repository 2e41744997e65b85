"""Reads the JSON export of Label Studio: polygons, brush strokes, rectangles and ellipses.

Source of the format: labelstud.io/guide/export (coordinates are percentages of the image).
"""

import os

import numpy as np

from deeplab.data.annotations import class_table, drawing, image_files, json_files, xml_files
from deeplab.data.annotations.found import Found, Notes
from deeplab.data.annotations.shapes import Drawing
from deeplab.data.building import listing
from deeplab.errors import UserError

_REGIONS = ("polygon", "brush", "rectangle", "ellipse")
_TEXTS = ("labels", "choices", "textarea", "rating", "number", "taxonomy", "pairwise")


def read(folder, path, options):
    """Returns the `Found` of an export in `folder`; `options` are `found.Options`.

    Raises:
      UserError: the file is damaged, or is the short form (JSON-MIN), which lacks the sizes of images.
    """
    tasks, notes = json_files.read(path), Notes()
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{path}: expected a list of tasks; export it from Label Studio as JSON")
    kind = "annotations" if any(task.get("annotations") for task in tasks) else "predictions"
    if tasks and not any("annotations" in task or task.get(kind) for task in tasks):
        raise UserError(f"{path}: has no annotations in its tasks; export it as JSON, not as JSON-MIN")
    read_tasks = [(task, _regions(task, kind, path, notes)) for task in tasks]
    read_tasks = [(task, regions) for task, regions in read_tasks if regions is not None]
    listed, interface = _interface(os.path.dirname(path))
    occurring = {name for _task, regions in read_tasks for name, _shape, _size in regions}
    table = class_table.make([*listed, *sorted(occurring - set(listed))], options.class_names, os.path.basename(path))
    finder, pairs = image_files.ImageFiles(folder, options.image_dirs), image_files.Pairs()
    for task, regions in read_tasks:
        name = _image_name(task, path)
        found = finder.find(name, (os.path.dirname(path), os.path.join(os.path.dirname(path), "images")))
        sizes = {size for _name, _shape, size in regions}
        if len(sizes) > 1:
            raise UserError(f"{path}: task {task.get('id')}: regions of one image name the sizes {sorted(sizes)}")
        if not regions:
            notes.add("images without regions, all background", name)
        shapes = tuple(shape._replace(label=table.ids[label]) for label, shape, _size in regions)
        drawn = Drawing(f"{path}: {name}", shapes, next(iter(sizes), None), on_top=options.on_top)
        pairs.add(finder.record_name(found or os.path.join(folder, os.path.basename(name))), found, drawn)
    notes.many(finder.unused(pairs.images.values()), "images in the folder that no annotated task names, left out")
    told = () if options.class_names else (f"the classes are those of {interface}",)
    return Found("label_studio", pairs.images, pairs.labels, table.names, notes=told + table.notes + notes.lines())


def _interface(folder):
    """Returns (labels in order, where they come from) of the labelling interface, an XML file beside the tasks.

    Without such a file there are no labels, and only those that occur can be classes.
    """
    for name in sorted(name for name in os.listdir(folder or ".") if name.lower().endswith(".xml")):
        elements, labels = [], {}

        def start(element, attributes, _line, elements=elements, labels=labels):
            elements.append(element)
            if element == "Label" and attributes.get("value", "").strip():
                labels[attributes["value"].strip()] = None

        xml_files.walk(os.path.join(folder, name), start, lambda _name, _text: None)
        if elements[:1] == ["View"] and labels:
            return list(labels), name
    return [], "the labels that occur, by alphabet"


def _image_name(task, path):
    """Returns what a task calls its image."""
    data = task.get("data") if isinstance(task.get("data"), dict) else {}
    texts = [data.get("image"), *data.values()]
    names = [text for text in texts if isinstance(text, str)]
    images = [name for name in names if os.path.splitext(name)[1].lower() in listing.SUFFIXES]
    if not images:
        raise UserError(f"{path}: task {task.get('id')}: its data names no image")
    return images[0]


def _regions(task, kind, path, notes):
    """Returns [(label, `drawing.Shape`, (height, width))] of a task, or None if nobody has annotated it.

    `kind` is "annotations", or "predictions" in a file in which nobody has annotated anything.
    """
    given = [one for one in task.get(kind) or [] if isinstance(one, dict) and not one.get("was_cancelled")]
    where = f"{path}: task {task.get('id')}"
    if given and kind == "predictions":
        notes.add("tasks whose predictions are taken, since no task has annotations", where)
    if not given:
        notes.add("tasks that nobody has annotated, left out", where)
        return None
    if len(given) > 1:
        notes.add("tasks with several annotations, of which the first one counts", where)
    results = json_files.entries(given[0], "result", where)
    labels = {}
    for result in results:
        if name := _label(result):
            labels.setdefault(result.get("id"), name)
    regions = [_region(result, labels.get(result.get("id")), where, notes) for result in results]
    return [region for region in regions if region is not None]


def _label(result):
    """Returns the first label of a result, or None; it stands under the type, such as "polygonlabels"."""
    value = result.get("value")
    names = value.get(result.get("type")) if isinstance(value, dict) else None
    return str(names[0]).strip() if isinstance(names, list) and names else None


def _region(result, label, where, notes):
    """Returns (label, shape, size) of one result, or None if there is nothing to draw."""
    kind = str(result.get("type")).removesuffix("labels")
    where = f"{where}: region {result.get('id')}"
    if kind not in _REGIONS:
        if kind and result.get("type") not in _TEXTS:
            notes.add(f"regions of the kind {result.get('type')!r}, left out", where)
        return None
    if label is None:
        notes.add("regions without a label, left out", where)
        return None
    if result.get("image_rotation"):
        raise UserError(f"{where}: the image was turned by {result['image_rotation']} degrees; turn the file itself")
    size = json_files.size(result.get("original_height"), result.get("original_width"), where)
    try:
        shape = _shape(kind, result["value"], size, where)
    except KeyError as error:
        raise UserError(f"{where}: a {kind} lacks {error}; export it again") from None
    if shape.kind == "rings" and len(shape.data[0]) < 3:
        notes.add("polygons of fewer than 3 points, left out", where)
        return None
    return label, shape, size


def _shape(kind, value, size, where):
    """Returns the `drawing.Shape`, still without a label, of the `value` of a result."""
    if kind == "brush":
        if value.get("format", "rle") != "rle":
            raise UserError(f"{where}: a brush of the format {value['format']!r}; only rle is read")
        try:
            return drawing.Shape(0, "brush", (bytes(value["rle"]), size))
        except (TypeError, ValueError):
            raise UserError(f"{where}: its rle is no list of bytes") from None
    scale = np.array(size[::-1]) / 100
    if kind == "polygon":
        return drawing.Shape(0, "rings", (json_files.points(value["points"], where) * scale,))
    degrees = json_files.number(value.get("rotation", 0), where)
    corner = json_files.points([value["x"], value["y"]], where)[0] * scale
    if kind == "rectangle":
        extent = json_files.points([value["width"], value["height"]], where)[0] * scale
        return drawing.Shape(0, "rings", (drawing.rectangle(corner, corner + extent, degrees, corner),))
    radii = json_files.points([value["radiusX"], value["radiusY"]], where)[0] * scale
    return drawing.Shape(0, "rings", (drawing.ellipse(corner, np.abs(radii), degrees),))
