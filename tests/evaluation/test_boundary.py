"""Boundary scores against scipy's distance transform, and on masks whose answers are known."""

import numpy as np
import pytest

from deeplab.data import catalog
from deeplab.evaluation import boundary
from deeplab.evaluation.metrics import Scores

ndimage = pytest.importorskip("scipy.ndimage", reason="scipy, the independent computation, is not installed")


def blobs(seed, classes=3, size=(40, 50), ignore=True):
    """Returns (label, prediction) with round shapes; the prediction is the label, shifted and with holes."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(classes, *size)), (0, 4, 4))
    label = noise.argmax(axis=0)
    prediction = np.roll(label, (2, 1), (0, 1))
    prediction[10:14, 20:25] = rng.integers(classes)
    if ignore:
        label[boundary.distance(np.abs(np.gradient(label.astype(float))[0]) > 0, 2) <= 1] = 255
    return label, prediction


@pytest.mark.parametrize("limit", [1, 3, 7.5])
def test_distances_are_scipys(limit):
    mask = np.random.default_rng(0).random((30, 41)) > 0.98
    expected = ndimage.distance_transform_edt(~mask)
    found = boundary.distance(mask, limit)
    near = expected <= limit
    np.testing.assert_allclose(found[near], expected[near])
    assert (found[~near] > limit).all()


def test_trimaps_are_scipys():
    trimaps = boundary.TrimapScores((1, 2, 5), 3, 255)
    expected = np.zeros((3, 3, 3), np.int64)
    for seed in range(3):
        label, prediction = blobs(seed)
        trimaps.add(label, prediction)
        far = ndimage.distance_transform_edt(label != 255)
        for i, width in enumerate((1, 2, 5)):
            band = (far > 0) & (far <= width)
            np.add.at(expected[i], (label[band], prediction[band]), 1)
    np.testing.assert_array_equal(trimaps.confusions, expected)
    assert trimaps.result() == {w: Scores.from_confusion(c).mean_iou for w, c in zip((1, 2, 5), expected, strict=True)}


def independent_scores(label, prediction, k):
    """Boundary IoU's counts and F-score of class k, with scipy."""
    diagonal = np.hypot(*label.shape)
    width, tolerance = max(1, 0.02 * diagonal), max(1, 0.0075 * diagonal)
    masks = [(ids == k) & (label != 255) for ids in (label, prediction)]
    far = [ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] for mask in masks]
    bands = [mask & (d <= width) for mask, d in zip(masks, far, strict=True)]
    contours = [mask & (d <= 1) for mask, d in zip(masks, far, strict=True)]
    near = [ndimage.distance_transform_edt(~contour) <= tolerance for contour in contours]
    precision, recall = near[0][contours[1]].mean(), near[1][contours[0]].mean()
    return (bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum(), 2 * precision * recall / (precision + recall)


def test_boundary_scores_are_scipys():
    boundaries = boundary.ContourScores(3, 255)
    counts = []
    for seed in range(3):
        pair = blobs(seed, size=(120, 160))
        boundaries.add(*pair)
        counts.append([independent_scores(*pair, k) for k in range(3)])
    intersection, union, f_scores = np.moveaxis(np.array(counts), 2, 0)
    iou, f = boundaries.result()
    np.testing.assert_allclose(iou, intersection.sum(0) / union.sum(0))
    np.testing.assert_allclose(f, f_scores.mean(0))


def test_a_perfect_prediction_scores_one_and_an_absent_class_nothing():
    label = np.zeros((30, 30), int)
    label[5:20, 5:20] = 1
    boundaries = boundary.ContourScores(3, 255)
    boundaries.add(label, label)
    for scores in boundaries.result():
        np.testing.assert_allclose(scores, [1, 1, np.nan])


def test_a_shifted_square():
    label, prediction = np.zeros((2, 21, 21), int)
    label[5:10, 5:10] = 1
    prediction[5:10, 6:11] = 1  # diagonal 29.7: widths are the least, 1 pixel
    boundaries = boundary.ContourScores(2, 255)
    boundaries.add(label, prediction)
    assert boundaries.result()[0][1] == pytest.approx(8 / 24)  # contours of 16 pixels, rows of 4 in common
    assert boundaries.result()[1][1] == 1  # within a pixel of each other
    trimaps = boundary.TrimapScores((2,), 2, 255)
    trimaps.add(label, prediction)  # nothing is ignored: there is no trimap
    assert np.isnan(trimaps.result()[2])


@pytest.mark.parametrize(("widths", "with_contours"), [((), False), ((1, 2), False), ((), True), ((1, 2), True)])
def test_only_the_scores_that_are_asked_for_are_computed(widths, with_contours):
    asked = boundary.BoundaryScores(widths, with_contours, catalog.Dataset("blobs", 3))
    label, prediction = blobs(0)
    for collector in asked.collectors:
        collector.add(label, prediction)
    assert len(asked.collectors) == bool(widths) + with_contours
    assert tuple(asked.trimap_miou()) == widths
    contours = asked.contours()
    assert (contours is not None) == with_contours
    assert not with_contours or [scores.shape for scores in contours] == [(3,), (3,)]
