"""Reads annotations.xml of "CVAT for images 1.1": polygons, masks, boxes and ellipses.

Source of the format: docs.cvat.ai/docs/dataset_management/formats/format-cvat.
"""

import os

import numpy as np

from deeplab.data.annotations import class_table, drawing, image_files, json_files, xml_files
from deeplab.data.annotations.found import Found, Notes
from deeplab.data.annotations.shapes import Drawing
from deeplab.errors import UserError

_LEFT_OUT = ("polyline", "points", "cuboid", "skeleton", "tag")


def read(folder, path, options):
    """Returns the `Found` of an annotations.xml in `folder`; `options` are `found.Options`.

    Raises:
      UserError: the file is damaged, is of a video, or has a shape of an unknown label.
    """
    notes, source = Notes(), _Source(path)
    xml_files.walk(path, source.start, source.end)
    listed = source.labels or dict.fromkeys(sorted({name for image in source.images for _z, name, _s in image.shapes}))
    if not listed:
        raise UserError(f"{path}: names no labels, so that there are no classes")
    table = class_table.make(list(listed), options.class_names, os.path.basename(path))
    finder, pairs = image_files.ImageFiles(folder, options.image_dirs), image_files.Pairs()
    near = tuple(os.path.join(os.path.dirname(path), part) for part in ("", *image_files.FOLDERS))
    for image in source.images:
        found = finder.find(image.name, near)
        unknown = next((name for _z, name, _shape in image.shapes if name not in table.ids), None)
        if unknown is not None:
            raise UserError(
                f"{path}: image {image.name}: a shape has the label {unknown!r}, which the file does not list"
            )
        in_order = sorted(image.shapes, key=lambda shape: shape[0])
        shapes = tuple(shape._replace(label=table.ids[name]) for _z, name, shape in in_order)
        if not shapes:
            notes.add("images without shapes, all background", image.name)
        missing = os.path.join(folder, image.name.replace("\\", "/").lstrip("/"))
        name = finder.record_name(found or missing, image_files.split_of(image.subset))
        pairs.add(name, found, Drawing(f"{path}: {image.name}", shapes, image.size, on_top=options.on_top))
    for kind, (count, first) in source.left_out.items():
        notes.many(count, f"shapes of the kind {kind!r}, left out", first)
    notes.many(finder.unused(pairs.images.values()), "images in the folder that the file does not name, left out")
    colors = (
        table.in_order({name: _color(text) for name, text in listed.items() if text}) if all(listed.values()) else ()
    )
    if colors and colors[0] is None:
        colors = ((0, 0, 0), *colors[1:])
    return Found(
        "cvat", pairs.images, pairs.labels, table.names, () if None in colors else colors,
        notes=table.notes + notes.lines(),
    )  # fmt: skip


def _color(text):
    try:
        red, green, blue = bytes.fromhex(text.removeprefix("#"))
    except ValueError:
        return None
    return red, green, blue


class _Image:
    """An image of the file; `shapes` are [(z order, label, `drawing.Shape`)]."""

    def __init__(self, attributes, path, line):
        self.name = attributes.get("name", "").strip()
        if not self.name:
            raise UserError(f"{path}: line {line}: an image has no name")
        self.size = json_files.size(attributes.get("height"), attributes.get("width"), f"{path}: line {line}")
        self.subset = attributes.get("subset", "")
        self.shapes = []


class _Source:
    """Collects what the elements of a file say."""

    def __init__(self, path):
        self.path, self.above = path, []  # names of the elements around the present one
        self.images, self.labels, self.left_out = [], {}, {}
        self._label = {}

    def start(self, name, attributes, line):
        """Takes an element that begins."""
        if not self.above and name != "annotations":
            raise UserError(f"{self.path}: line {line}: <{name}> is no file of CVAT for images; export that format")
        parent, where = self.above[-1] if self.above else "", f"{self.path}: line {line}"
        self.above.append(name)
        if name == "track" and parent == "annotations":
            raise UserError(f"{where}: has tracks of a video; export CVAT for images 1.1, or segmentation mask 1.1")
        if name == "image":
            self.images.append(_Image(attributes, self.path, line))
        elif parent == "image" and name in _SHAPES:
            shape = _shape(name, attributes, where)
            z_order = json_files.number(attributes.get("z_order", "0"), where)
            self.images[-1].shapes.append((z_order, attributes.get("label", ""), shape))
        elif parent == "image" and name in _LEFT_OUT:
            count, first = self.left_out.get(name, (0, where))
            self.left_out[name] = (count + 1, first)
        elif parent == "image":
            raise UserError(f"{where}: <{name}> is no shape that is known; remove it or export another format")

    def end(self, name, text):
        """Takes an element that ends, with the text in it."""
        self.above.pop()
        if self.above[-1:] == ["label"] and name in ("name", "color"):
            self._label[name] = text
        elif name == "label" and self.above[-1:] == ["labels"]:
            if self._label.get("name"):
                self.labels[self._label["name"]] = self._label.get("color", "")
            self._label = {}


def _shape(kind, attributes, where):
    """Returns the `drawing.Shape`, still without a label, of the attributes of an element."""
    try:
        return _SHAPES[kind](attributes, where)
    except KeyError as error:
        raise UserError(f"{where}: <{kind}> lacks {error}; export it again") from None


def _polygon(attributes, where):
    text = attributes["points"].strip()
    ring = json_files.points([pair.split(",") for pair in text.split(";") if pair], where)
    if len(ring) < 3:
        raise UserError(f"{where}: a polygon of {len(ring)} points; expected 3 or more")
    return drawing.Shape(0, "rings", (ring,))


def _box(attributes, where):
    values = [attributes[name] for name in ("xtl", "ytl", "xbr", "ybr")]
    corners = json_files.points(values, where)
    degrees = json_files.number(attributes.get("rotation", "0"), where)
    return drawing.Shape(0, "rings", (drawing.rectangle(*corners, degrees),))


def _ellipse(attributes, where):
    center, radii = json_files.points([attributes[name] for name in ("cx", "cy", "rx", "ry")], where)
    degrees = json_files.number(attributes.get("rotation", "0"), where)
    return drawing.Shape(0, "rings", (drawing.ellipse(center, np.abs(radii), degrees),))


def _mask(attributes, where):
    try:
        counts = np.array([int(count) for count in attributes["rle"].split(",")], np.int64)
        top, left = int(float(attributes["top"])), int(float(attributes["left"]))
    except (ValueError, OverflowError):
        raise UserError(f"{where}: a mask whose rle, top or left are no whole numbers") from None
    size = json_files.size(attributes["height"], attributes["width"], where)
    return drawing.Shape(0, "rle", (counts, size, (top, left), False))


_SHAPES = {"polygon": _polygon, "box": _box, "ellipse": _ellipse, "mask": _mask}
