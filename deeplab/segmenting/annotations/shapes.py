"""The labels of one image as shapes: polygons with few points, which may have holes."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from deeplab.segmenting import polygons
from deeplab.segmenting.annotations import simplify

_INSET = 0.01  # pixels by which points lie inside of their class, so that programs which cut off fractions find it
_NOWHERE = -1  # the label beyond the edges of the image


class Mask(NamedTuple):
    """The exact pixels of a shape: a box of the image, and lengths of runs inside of it.

    Attributes:
      left, top, width, height: the box, in pixels.
      counts: lengths of the runs in which pixels in turn are outside and inside of the shape, row after row; the first
        one, which may be 0, is outside.
    """

    left: int
    top: int
    width: int
    height: int
    counts: list[int]


class Shape(NamedTuple):
    """A polygon of one class.

    Attributes:
      label: the class id.
      rings: list of (N, 2) points (x, y) in pixels from the upper left corner of the image, first the outline, then the
        holes; the last point of a ring is not the first one again.
      mask: the `Mask` of a shape with holes, for formats that hold it; else None.
    """

    label: int
    rings: list[np.ndarray]
    mask: Mask | None = None

    def ring(self):
        """Returns the shape as one ring (N, 2), in which a seam leads to each hole."""
        return simplify.cut_open(self.rings)

    def area(self):
        """Returns the area in pixels: that of the outline without that of the holes."""
        outline, *holes = (_area(ring) for ring in self.rings)
        return max(0.0, outline - sum(holes))


def of_labels(labels, classes, tolerance):
    """Returns the list of `Shape`s of labels (H, W), one for each part of a class that hangs together.

    Args:
      labels: class ids (H, W).
      classes: the class ids to outline.
      tolerance: distance in pixels, see `simplify.kept_points`. Parts and holes that are smaller disappear.
    """
    labels = np.asarray(labels)
    around, found = np.pad(labels.astype(np.int64), 1, constant_values=_NOWHERE), []
    present = set(np.unique(labels).tolist())
    for label in (label for label in classes if label in present):
        for polygon in polygons.of_mask(labels == label):
            traced = [_trace(ring[:-1], around, label) for ring in polygon]
            rings = [_simplified(*ring, tolerance) for ring in traced]
            if rings[0] is None:
                continue
            rings = [ring for ring in rings if ring is not None]
            mask = _mask([inside for _ring, inside, _outside in traced]) if len(rings) > 1 else None
            found.append(Shape(label, rings, mask))
    return found


def _trace(ring, around, label):
    """Returns a ring (N, 2), the pixels (N, 2) on its inner side as (column, row), and the labels on its outer side.

    Every point lies halfway between the centres of two pixels, of which one belongs to the class.
    """
    x, y = ring.T
    beside = x % 1 == 0  # the two pixels lie beside one another, not one above the other
    second = np.stack([np.where(beside, x, x - 0.5), np.where(beside, y - 0.5, y)], 1).astype(int)
    first = second - np.stack([beside, ~beside], 1)
    of_first, of_second = (around[pixels[:, 1] + 1, pixels[:, 0] + 1] for pixels in (first, second))
    is_first = of_first == label
    return ring, np.where(is_first[:, None], first, second), np.where(is_first, of_second, of_first)


def _simplified(ring, inside, outside, tolerance):
    """Returns the points of a ring that stay, a little further inside; None if no area is left."""
    kept = simplify.kept_points(ring, outside, tolerance)
    if len(kept) < 3 or _area(ring[kept]) == 0:
        return None
    return ring[kept] + _INSET * 2 * (inside[kept] + 0.5 - ring[kept])


def _mask(insides):
    """Returns the `Mask` of a shape, of whose rings the inner pixels (N, 2) are known."""
    left, top = insides[0].min(0)
    width, height = insides[0].max(0) - (left, top) + 1
    image = Image.new("1", (int(width), int(height)))
    draw = ImageDraw.Draw(image)
    for fill, pixels in zip((1, *[0] * len(insides)), insides, strict=False):
        draw.polygon((pixels - (left, top)).reshape(-1).tolist(), fill=fill, outline=1)  # these pixels are inside
    flat = np.asarray(image).reshape(-1).astype(np.int8)
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff(np.concatenate([[0], changes, [len(flat)]]))
    return Mask(int(left), int(top), int(width), int(height), counts.tolist())


def _area(ring):
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
