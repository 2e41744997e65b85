"""Reads labelme's JSON files, one per image.

Shapes are drawn as labelme's own converter draws them (labelme/utils/shape.py), in the order of the file.
"""

import base64
import binascii
import os

from deeplab.data.annotations import class_table, image_files, json_files
from deeplab.data.annotations.drawing import LABELME_KINDS, Shape
from deeplab.data.annotations.found import Embedded, Found, Notes
from deeplab.data.annotations.shapes import Drawing
from deeplab.data.building import listing
from deeplab.errors import UserError

LABELS = "labels.txt"
_POINTS = {
    "polygon": 3,
    "rectangle": 2,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "point": 1,
    "mask": 2,
    "rotation": 4,
}  # points; the last one is AnyLabeling's


def read(folder, files, options):
    """Returns the `Found` of labelme files.

    Args:
      folder: the folder that the user named; labels.txt in it says the order of the classes.
      files: paths of the JSON files in it.
      options: `found.Options`.

    Raises:
      UserError: a file is damaged, or has a label that labels.txt has not.
    """
    notes = Notes()
    finder, pairs = image_files.ImageFiles(folder, options.image_dirs), image_files.Pairs()
    sources = [_read_file(path, finder, notes) for path in files]
    listed = _listed(os.path.join(folder, LABELS))
    names = listed or _sorted_names(sources)
    table = class_table.make(names, options.class_names, LABELS if listed else "the JSON files")
    for source in sources:
        shapes = [shape._replace(label=_class(shape.label, table, source.path)) for shape in source.shapes]
        if not shapes:
            notes.add("images without shapes, all background", source.path)
        drawn = Drawing(source.path, tuple(shapes), source.size, on_top=options.on_top)
        at = os.path.splitext(source.path)[0] if source.inside else (source.image or source.path)
        split = image_files.split_of(os.path.relpath(source.path, folder).replace(os.sep, "/").rpartition("/")[0])
        image = Embedded(source.path) if source.inside else source.image
        pairs.add(finder.record_name(at, split), image, drawn)
        if source.inside:
            notes.add("images taken from imageData, since no file of their name is there", source.path)
    notes.many(finder.unused(pairs.images.values()), "images without a JSON file, left out")
    told = (
        () if listed or options.class_names else (f"no {LABELS}: the classes are the labels that occur, by alphabet",)
    )
    return Found("labelme", pairs.images, pairs.labels, table.names, notes=told + table.notes + notes.lines())


class _Source:
    """What one file says: `shapes` whose labels are still names, `size` or None, `image` path or None, and whether only
    the file has the image `inside`."""

    def __init__(self, path, shapes, size, image, inside):
        self.path, self.shapes, self.size, self.image, self.inside = path, shapes, size, image, inside


def _read_file(path, finder, notes):
    values = json_files.read(path)
    found = json_files.entries(values, "shapes", path)
    shapes = [shape for number, values_of in enumerate(found) if (shape := _shape(values_of, path, number, notes))]
    size = None
    if values.get("imageHeight") is not None and values.get("imageWidth") is not None:
        size = json_files.size(values["imageHeight"], values["imageWidth"], path)
    image = _image(path, values.get("imagePath"), finder)
    return _Source(path, shapes, size, image, inside=image is None and bool(values.get("imageData")))


def _image(path, named, finder):
    """Returns the path of the image of a JSON file: the one that it names, or the one beside it of its own name."""
    folder, stem = os.path.split(os.path.splitext(path)[0])
    found = finder.find(named, (folder,)) if isinstance(named, str) and named else None
    beside = (finder.find(stem + suffix, (folder,)) for suffix in listing.SUFFIXES)
    return found or next((other for other in beside if other), None)


def _shape(values, path, number, notes):
    """Returns the `Shape` of one shape, with its name as label, or None if it is left out."""
    where = f"{path}: shape {number + 1}"
    kind, name = str(values.get("shape_type") or "polygon"), values.get("label")
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"{where}: has no label")
    if kind not in _POINTS:
        notes.add(f"shapes of the kind {kind!r}, left out", where)
        return None
    points = json_files.points(values.get("points") or [], where)
    kind = "polygon" if kind == "rotation" or (kind == "rectangle" and len(points) == 4) else kind
    if len(points) < _POINTS[kind] or (kind not in ("polygon", "linestrip") and len(points) > _POINTS[kind]):
        if kind == "polygon":
            notes.add("polygons of fewer than 3 points, left out", where)
            return None
        raise UserError(f"{where}: a {kind} of {len(points)} points; expected {_POINTS[kind]}")
    if kind == "mask":
        try:
            data = base64.b64decode(values["mask"], validate=True)
        except (binascii.Error, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{where}: its mask is not base64 ({error})") from None
        left, top = points[0]
        return Shape(name.strip(), "mask", (data, (int(top), int(left))))
    if kind in ("line", "linestrip", "point"):
        notes.add(f"shapes of the kind {kind!r}, drawn as labelme draws them (lines 10 pixels wide, points 11)", where)
    assert kind in LABELME_KINDS
    return Shape(name.strip(), f"labelme {kind}", points)


def _listed(path):
    """Returns the names in labels.txt, one a line; [] if there is no such file."""
    if not os.path.exists(path):
        return []
    names = [line.strip() for line in json_files.text(path).splitlines()]
    return list(dict.fromkeys(name for name in names if name))


def _sorted_names(sources):
    return sorted({shape.label for source in sources for shape in source.shapes})


def _class(name, table, path):
    if name not in table.ids:
        raise UserError(f"{path}: has a shape with the label {name!r}, which {LABELS} has not; add it there or mend it")
    return table.ids[name]
