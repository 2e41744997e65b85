"""Draws shapes as labels: the one rasteriser of all annotation formats.

A pixel belongs to a polygon if its centre lies inside, by the even-odd rule, where vertices are first rounded to a
fifth of a pixel. That is the rule of COCO's own program (maskApi.c), which CVAT and others share. Shapes of labelme
follow labelme's converter instead (labelme/utils/shape.py): Pillow draws them with their outline, which makes them half
a pixel wider. Each differs from the other in 0.5 % to 1 % of the pixels of usual images.
"""

import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from deeplab.data.annotations import rle
from deeplab.errors import UserError

_STEPS = 5  # maskApi.c: vertices are rounded to a fifth of a pixel
_TINY = 1e-9  # pixels; a vertex that should lie on the centre of a pixel does so in spite of rounding
_AT_ONCE = 1 << 21  # crossings of edges and rows that are computed together, which bounds the memory
_LINE_WIDTH, _POINT_RADIUS = 10, 5  # pixels; labelme's converter draws lines and points like this
LABELME_KINDS = ("polygon", "rectangle", "circle", "line", "linestrip", "point")


class Shape(NamedTuple):
    """One annotated region.

    `data` depends on the `kind`:
      "polygons": tuple of arrays (N, 2) of x and y in pixels; a pixel in any of them belongs to the shape.
      "rings": the same, but a ring inside another one is a hole.
      "rle": (counts, (height, width), (top, left), by_columns) where counts are the lengths of runs, background first,
        as an array or as COCO's compressed text.
      "brush": (bytes of Label Studio's compressed mask, (height, width)).
      "mask": (bytes of a PNG, (top, left)).
      "labelme KIND": array (N, 2), drawn as labelme's converter draws its KIND of shape.
    """

    label: int  # class id, or a negative number that `draw` replaces
    kind: str
    data: object
    beneath: bool = False  # drawn before all shapes that are not

    def scaled(self, size):
        """Returns the shape of polygons whose coordinates were fractions of `size` (height, width)."""
        height, width = size
        return self._replace(data=tuple(ring * (width, height) for ring in self.data))


class Drawn(NamedTuple):
    """Labels, and what overlaps in them."""

    labels: np.ndarray  # (H, W) uint8
    overlapping: int  # number of pixels on which shapes of different labels lie
    hidden: int  # number of shapes of which nothing is seen, since others cover them


def draw(shapes, size, replaced, on_top="file"):
    """Returns what is `Drawn` of some shapes.

    Args:
      shapes: `Shape`s in the order of the file.
      size: (height, width) of the labels.
      replaced: {label: label to draw in its place}.
      on_top: "file": later shapes cover earlier ones; "smaller": shapes of fewer pixels cover larger ones.

    Raises:
      UserError: a shape is damaged.
    """
    order = sorted(shapes, key=lambda shape: not shape.beneath)
    if on_top == "smaller":
        order.sort(key=lambda shape: (not shape.beneath, -int(np.count_nonzero(patch(shape, size)[1]))))
    table = np.array([0, *(replaced.get(shape.label, shape.label) for shape in order)], np.uint8)
    seen, several, empty = np.zeros(size, np.int32), np.zeros(size, bool), 0  # `seen`: 1 + index of the shape on top
    for i, shape in enumerate(order, 1):
        (top, left), mask = patch(shape, size)
        box = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
        beneath = seen[box]
        several[box] |= mask & (beneath > 0) & (table[beneath] != table[i])
        beneath[mask] = i
        empty += not mask.any()
    hidden = len(order) - len(np.setdiff1d(seen, 0)) - empty
    return Drawn(table[seen], int(np.count_nonzero(several)), hidden)


def patch(shape, size):
    """Returns ((top, left), mask bool) of a shape: the part of an image of `size` (height, width) that it covers."""
    if shape.kind in ("polygons", "rings"):
        return _polygons(shape.data, size, union=shape.kind == "polygons")
    if shape.kind == "rle":
        counts, own_size, at, by_columns = shape.data
        _require_fits(own_size, size, whole=by_columns)
        return _inside(rle.mask(counts, own_size, by_columns), at, size)
    if shape.kind == "brush":
        data, own_size = shape.data
        _require_fits(own_size, size, whole=True)
        return (0, 0), rle.brush_mask(data, own_size)
    if shape.kind == "mask":
        data, at = shape.data
        return _inside(_png_mask(data, size), at, size)
    return (0, 0), _of_labelme(shape.kind.removeprefix("labelme "), shape.data, size)


def _require_fits(own_size, size, whole):
    """Raises a UserError if a mask of `own_size` is not the `whole` image of `size`, or is larger than the image."""
    (own_height, own_width), (height, width) = own_size, size
    if (whole and (own_height, own_width) != (height, width)) or own_height > height or own_width > width:
        raise UserError(f"a mask of {own_width}x{own_height} on an image of {width}x{height} (width x height)")


def _inside(mask, at, size):
    """Returns ((top, left), mask) of the part of a mask with this upper left corner that lies in the image."""
    (top, left), (height, width) = at, size
    mask = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    return (min(max(0, top), height), min(max(0, left), width)), mask


def _png_mask(data, size):
    """Returns (H, W) bool of an encoded mask, which may not be larger than the image of `size`."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            _require_fits((image.height, image.width), size, whole=False)
            return np.asarray(image.convert("L")) > 0
    except UserError:  # it is a ValueError, too
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"a mask in it cannot be read ({error})") from None


def _polygons(rings, size, union):
    """Returns ((top, left), mask) of rings (N, 2) of x, y: their union, or by the even-odd rule of all together."""
    height, width = size
    rings = [np.floor(ring * _STEPS + 0.5) / _STEPS for ring in rings if len(ring) > 2]
    if not rings:
        return (0, 0), np.zeros((0, 0), bool)
    low, high = extent(rings)
    left, right = (min(max(0, edge), width) for edge in (math.floor(low[0]), math.ceil(high[0])))
    top, bottom = (min(max(0, edge), height) for edge in (math.floor(low[1]), math.ceil(high[1])))
    toggles = np.zeros((bottom - top, right - left + 1), np.uint8)
    mask = np.zeros((bottom - top, right - left), bool)
    for ring in rings:
        _toggle(toggles, ring - (left, top))
        if union:
            mask |= _filled(toggles)
            toggles[:] = 0
    return (top, left), mask if union else _filled(toggles)


def extent(rings):
    """Returns the least and the greatest (x, y) of rings (N, 2)."""
    every = rings[0] if len(rings) == 1 else np.concatenate(rings)
    return every.min(axis=0), every.max(axis=0)


def _filled(toggles):
    return np.bitwise_xor.accumulate(toggles[:, :-1], axis=1).astype(bool)


def _toggle(toggles, ring):
    """Changes `toggles` (h, w + 1), 0 to 1 and 1 to 0, where rows of pixel centres enter or leave a ring (N, 2)."""
    rows, columns = toggles.shape[0], toggles.shape[1] - 1
    following = np.concatenate((ring[1:], ring[:1]))
    row = np.minimum(np.maximum(np.ceil(ring[:, 1] - 0.5 - _TINY), 0), rows).astype(np.int64)
    next_row = np.concatenate((row[1:], row[:1]))
    first, count = np.minimum(row, next_row), np.abs(next_row - row)
    crossing = np.flatnonzero(count)
    per_step = max(1, _AT_ONCE // max(1, rows))
    for start in range(0, len(crossing), per_step):
        edges = crossing[start : start + per_step]
        of_edge = np.repeat(edges, count[edges])
        ends_at = np.cumsum(count[edges])
        y = np.arange(ends_at[-1]) - np.repeat(ends_at - count[edges] - first[edges], count[edges])
        (x0, y0), (x1, y1) = ring[of_edge].T, following[of_edge].T
        x = x0 + (y + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        column = np.minimum(np.maximum(np.ceil(x - 0.5 - _TINY), 0), columns).astype(np.int64)
        np.bitwise_xor.at(toggles, (y, column), 1)


def ellipse(center, radii, degrees=0.0):
    """Returns the ring (N, 2) of an ellipse; `radii` are those along x and y before it is turned clockwise."""
    steps = int(np.clip(4 * max(radii), 64, 2048))
    angles = np.linspace(0, 2 * math.pi, steps, endpoint=False)
    return turned(np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii + center, center, degrees)


def rectangle(corner, opposite, degrees=0.0, around=None):
    """Returns the ring (4, 2) of a rectangle, turned clockwise around a point: its centre if none is given."""
    (x0, y0), (x1, y1) = corner, opposite
    ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)
    return turned(ring, ring.mean(axis=0) if around is None else around, degrees)


def turned(ring, around, degrees):
    """Returns a ring (N, 2) of x and y turned clockwise, as seen on the screen, around a point."""
    if not degrees:
        return ring
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return (ring - around) @ np.array([[cosine, sine], [-sine, cosine]]) + around


def _of_labelme(kind, points, size):
    """Returns the mask (H, W) bool of a shape as labelme's converter draws it."""
    mask = Image.new("1", size[::-1])
    pen, points = ImageDraw.Draw(mask), [tuple(point) for point in points.tolist()]
    if kind == "polygon":
        pen.polygon(points, fill=1, outline=1)
    elif kind == "rectangle":
        pen.rectangle([tuple(map(min, *points)), tuple(map(max, *points))], fill=1, outline=1)
    elif kind in ("line", "linestrip"):
        pen.line(points, fill=1, width=_LINE_WIDTH)
    else:
        x, y = points[0]
        radius = math.dist(*points) if kind == "circle" else _POINT_RADIUS
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
    return np.asarray(mask)
