"""Shapes of labels: exact without tolerance, fitting together with it, and holes that stay open."""

import itertools

import numpy as np
import pytest

from deeplab.segmenting.annotations import shapes, simplify
from helpers.annotation_readers import blobs, drawn

SPECKLED = np.random.default_rng(3).integers(0, 3, (40, 50))


def painted(found, size, of_shape):
    labels = np.full(size, 255)
    for shape in found:
        labels[of_shape(shape)] = shape.label
    return labels


@pytest.mark.parametrize("labels", [blobs(60, 80), SPECKLED], ids=["blobs", "every pixel another"])
def test_without_tolerance_the_pixels_are_exact(labels):
    found = shapes.of_labels(labels, range(4), 0.0)
    by_rings = painted(found, labels.shape, lambda shape: drawn(shape.rings, labels.shape))
    by_seams = painted(found, labels.shape, lambda shape: drawn([shape.ring()], labels.shape))
    np.testing.assert_array_equal(by_rings, labels)
    np.testing.assert_array_equal(by_seams, labels)


def test_areas_are_those_of_outlines_without_holes():
    labels = blobs(60, 80)
    labels[20:40, 20:50], labels[25:35, 25:45] = 1, 2
    found = shapes.of_labels(labels, range(4), 0.0)
    assert sum(shape.area() for shape in found) == pytest.approx(labels.size, rel=0.01)  # points lie a little inside


def test_masks_hold_the_pixels_of_a_shape_with_holes():
    labels = blobs(60, 80)
    labels[20:40, 20:50], labels[25:35, 25:30], labels[25:35, 40:45], labels[28, 27] = 1, 2, 3, 1
    holed = [shape for shape in shapes.of_labels(labels, range(4), 0.0) if shape.mask]
    assert holed
    for shape in holed:
        (left, top, width, height, counts) = shape.mask
        inside = np.repeat(np.arange(len(counts)) % 2, counts).reshape(height, width)
        whole = np.zeros(labels.shape, bool)
        whole[top : top + height, left : left + width] = inside
        np.testing.assert_array_equal(whole, drawn(shape.rings, labels.shape))


def test_borders_that_classes_share_are_simplified_alike():
    labels = blobs(120, 160)
    found = shapes.of_labels(labels, range(4), 2.0)
    points = sum(len(ring) for shape in found for ring in shape.rings)
    assert points < 0.5 * sum(len(ring) for shape in shapes.of_labels(labels, range(4), 0.0) for ring in shape.rings)
    uncovered = painted(found, labels.shape, lambda shape: drawn(shape.rings, labels.shape)) == 255
    assert uncovered.mean() < 0.002  # without gaps but for the points where three classes meet


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 3.0])
def test_removed_points_are_within_half_of_the_tolerance(tolerance):
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.round(np.stack([30 * np.cos(angles), 20 * np.sin(angles)], 1) * 2) / 2
    kept = simplify.kept_points(ring, np.zeros(len(ring)), tolerance)
    ends = np.append(kept, kept[0] + len(ring))
    for first, last in itertools.pairwise(ends):
        a, b = ring[first % len(ring)], ring[last % len(ring)]
        inner = ring[np.arange(first, last) % len(ring)] - a
        across = np.abs(inner[:, 0] * (b - a)[1] - inner[:, 1] * (b - a)[0]) / max(np.hypot(*(b - a)), 1e-9)
        assert across.max() <= tolerance / 2
    shift = 77  # where a ring begins, and in which direction it runs, changes nothing
    turned = simplify.kept_points(np.roll(ring, -shift, axis=0)[::-1], np.zeros(len(ring)), tolerance)
    assert {tuple(p) for p in np.roll(ring, -shift, axis=0)[::-1][turned]} == {tuple(p) for p in ring[kept]}


def test_specks_disappear_and_so_do_their_holes():
    labels = np.zeros((30, 30), int)
    labels[10, 10], labels[15:25, 15:25] = 1, 1
    background, block = shapes.of_labels(labels, [0, 1], 2.0)
    assert (background.label, len(background.rings)) == (0, 2)
    assert (block.label, len(block.rings)) == (1, 1)
    assert [shape.label for shape in shapes.of_labels(labels, [1], 0.0)] == [1, 1]


def test_holes_in_a_row_are_cut_open_one_after_the_other():
    square = np.array([[0, 0], [40, 0], [40, 10], [0, 10]], float)
    holes = [np.array([[x, 3], [x, 7], [x + 4, 7], [x + 4, 3]], float) for x in (30, 4, 18)]
    ring = simplify.cut_open([square, *holes])
    expected = drawn([square, *holes], (10, 40))
    assert expected.sum() == 400 - 3 * 16
    np.testing.assert_array_equal(drawn([ring], (10, 40)), expected)
