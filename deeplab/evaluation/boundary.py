"""Quality at boundaries: mIoU in trimaps (DeepLabv3+, sec. 4.4), boundary IoU (Cheng et al. 2021), boundary F-score.

All distances are Euclidean, in pixels. NumPy only; labels and predictions are (H, W) class ids of one image.
"""

import math

import numpy as np

from deeplab.evaluation.metrics import Scores

IOU_WIDTH = 0.02  # of the diagonal, as arXiv 2103.16562 recommends
F_TOLERANCE = 0.0075  # of the diagonal: Csurka et al., BMVC 2013


def distance(mask, limit):
    """Returns the distance of every pixel to the nearest True one, exact up to `limit`, more beyond; (H, W) float64."""
    columns = _column_distance(mask, limit).astype(np.float64) ** 2
    reach = int(np.floor(limit))
    padded = np.pad(columns, ((0, 0), (reach, reach)), constant_values=np.inf)
    width = mask.shape[1]
    nearest = np.full(mask.shape, np.inf)
    for offset in range(-reach, reach + 1):
        start = reach + offset
        np.minimum(nearest, padded[:, start : start + width] + offset**2, out=nearest)
    return np.sqrt(nearest)


def _column_distance(mask, limit):
    """Distance to the nearest True pixel above or below, at most limit + 1."""
    rows = np.arange(mask.shape[0])[:, None]
    far = -(limit + 1) - mask.shape[0]
    above = np.maximum.accumulate(np.where(mask, rows, far), axis=0)
    below = np.maximum.accumulate(np.where(mask[::-1], rows, far), axis=0)[::-1]
    return np.minimum(np.minimum(rows - above, (mask.shape[0] - 1 - rows) - below), limit + 1)


class Trimaps:
    """mIoU of the pixels within some widths of the ignore label, which borders objects in PASCAL VOC.

    Args:
      widths: distances in pixels, ascending.
      num_classes, ignore_label: of the data set.
    """

    def __init__(self, widths, num_classes, ignore_label):
        self.widths, self.num_classes, self.ignore_label = tuple(widths), num_classes, ignore_label
        self.confusions = np.zeros((len(self.widths), num_classes, num_classes), np.int64)

    def add(self, label, prediction):
        """Counts one image."""
        void = label == self.ignore_label
        if not void.any():
            return
        far = distance(void, max(self.widths))
        for confusion, width in zip(self.confusions, self.widths, strict=True):
            band = (far <= width) & ~void
            cells = label[band].astype(np.int64) * self.num_classes + prediction[band]
            confusion += np.bincount(cells, minlength=self.num_classes**2).reshape(confusion.shape)

    def result(self):
        """Returns {width: mIoU}."""
        scores = map(Scores.of, self.confusions)
        return {width: score.mean_iou for width, score in zip(self.widths, scores, strict=True)}


class Boundaries:
    """Boundary IoU and boundary F-score per class.

    Boundary IoU: of the pixels of a mask that are closer to its outside than 2 % of the diagonal, intersection over
    union, summed over all images. F-score: of the contours, which part lies within 0.75 % of the diagonal of the other
    one's; mean over the images that show the class. Ignored pixels belong to no class; the image's edge is an outside.
    """

    def __init__(self, num_classes, ignore_label):
        self.num_classes, self.ignore_label = num_classes, ignore_label
        self.intersection = np.zeros(num_classes, np.int64)
        self.union = np.zeros(num_classes, np.int64)
        self.f_scores = [[] for _ in range(num_classes)]

    def add(self, label, prediction):
        """Counts one image."""
        diagonal = float(np.hypot(*label.shape))
        width, tolerance = max(1.0, IOU_WIDTH * diagonal), max(1.0, F_TOLERANCE * diagonal)
        valid = label != self.ignore_label
        for k in np.union1d(label[valid], prediction[valid]):
            truth, found = (label == k) & valid, (prediction == k) & valid
            truth_far, found_far = inner_distance(truth, width), inner_distance(found, width)
            truth_band, found_band = truth & (truth_far <= width), found & (found_far <= width)
            self.intersection[k] += np.count_nonzero(truth_band & found_band)
            self.union[k] += np.count_nonzero(truth_band | found_band)
            contours = truth & (truth_far <= 1), found & (found_far <= 1)
            self.f_scores[k].append(f_score(*contours, tolerance))

    def result(self):
        """Returns (boundary IoU, boundary F-score): (K,) float64 each, NaN for classes that occur nowhere."""
        empty = np.full(self.num_classes, np.nan)
        iou = np.divide(self.intersection, self.union, out=empty.copy(), where=self.union > 0)
        return iou, np.array([_mean(scores) for scores in self.f_scores])


def _mean(scores):
    return math.fsum(scores) / len(scores) if scores else math.nan  # the same in whatever order images come


def inner_distance(mask, limit):
    """Returns the distance of every pixel to the outside of a mask, exact up to `limit`; image edges are outside."""
    return distance(np.pad(~mask, 1, constant_values=True), limit)[1:-1, 1:-1]


def f_score(truth, found, tolerance):
    """Returns the F-score of two contours (H, W) bool: 2 precision recall / (precision + recall)."""
    if not truth.any() or not found.any():
        return 0.0
    precision = np.mean(distance(truth, tolerance)[found] <= tolerance)
    recall = np.mean(distance(found, tolerance)[truth] <= tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
