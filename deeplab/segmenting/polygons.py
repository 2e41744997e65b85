"""Outlines of labels as polygons."""

import importlib
import itertools

import numpy as np

from deeplab.errors import not_installed


def require():
    """Returns the package contourpy, which finds outlines; raises a UserError if it is not installed."""
    try:
        return importlib.import_module("contourpy")
    except ImportError as error:
        raise not_installed("polygons need", error, ["contourpy"]) from None


def of_mask(mask):
    """Returns the polygons around the pixels of a mask (H, W) bool, each a list of rings.

    The first ring is the outline, further rings are holes. A ring is an array (N, 2) of points (x, y) in pixels, x from
    the left and y from the top, whose last point is its first. The pixel in row r and column c covers c to c + 1 and r
    to r + 1. Outlines run halfway between the centres of pixels, so that a polygon holds the centres of exactly the
    pixels that belong to it.

    Raises:
      UserError: the package contourpy is not installed.
    """
    contourpy = require()
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return []
    top, left = rows[0], columns[0]
    inside = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float64)
    generator = contourpy.contour_generator(z=inside, fill_type=contourpy.FillType.OuterOffset)
    shift = (left - 0.5, top - 0.5)  # points are given from the centre of the first pixel, which was added
    return [
        [points[start:end] + shift for start, end in itertools.pairwise(offsets)]
        for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True)
    ]
