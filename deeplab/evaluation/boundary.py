"""Quality at boundaries: mIoU in trimaps, boundary IoU and boundary F-score.

mIoU over all pixels hardly sees whether outlines are sharp, because most pixels lie inside of objects. The scores here
count only pixels near boundaries. Sources: trimaps, DeepLabv3+ (arXiv 1802.02611) sec. 4.4; boundary IoU, Cheng et al.
2021 (arXiv 2103.16562); boundary F-score, Csurka et al., BMVC 2013.

All distances are Euclidean, in pixels. NumPy only; labels and predictions are class ids (H, W) of one image.
"""

import math

import numpy as np

from deeplab.evaluation.metrics import Scores

IOU_WIDTH = 0.02  # of the image's diagonal, as arXiv 2103.16562 recommends
F_TOLERANCE = 0.0075  # of the image's diagonal: Csurka et al., BMVC 2013


class BoundaryScores:
    """The scores at boundaries that the user asks for.

    Args:
      trimap_widths: distances in pixels, ascending; empty for no trimaps.
      with_contours: whether boundary IoU and boundary F-score are computed.
      dataset: the `catalog.Dataset` of labels and predictions.
    """

    def __init__(self, trimap_widths, with_contours, dataset):
        classes = dataset.num_classes, dataset.ignore_label
        self._trimaps = TrimapScores(trimap_widths, *classes) if trimap_widths else None
        self._contours = ContourScores(*classes) if with_contours else None

    @property
    def collectors(self):
        """The `scoring.Collector`s that must be given every image of the split."""
        return [collector for collector in (self._trimaps, self._contours) if collector is not None]

    def trimap_miou(self):
        """Returns {width: mIoU}; empty if the user did not ask for trimaps."""
        return self._trimaps.result() if self._trimaps else {}

    def contours(self):
        """Returns (boundary IoU, boundary F-score) as `ContourScores.result`; None if the user did not ask for them."""
        return self._contours.result() if self._contours else None


class TrimapScores:
    """mIoU of the pixels near the ignore label, which surrounds every object in PASCAL VOC.

    Args:
      widths: distances in pixels, ascending; a pixel counts for a width if an ignored pixel is as near as that.
      num_classes: number of classes K.
      ignore_label: the label of pixels that belong to no class.
    """

    def __init__(self, widths, num_classes, ignore_label):
        self.widths, self.ignore_label = tuple(widths), ignore_label
        self.confusions = np.zeros((len(self.widths), num_classes, num_classes), np.int64)

    def add(self, label, prediction):
        """Counts one image."""
        ignored = label == self.ignore_label
        if not ignored.any():
            return
        far = distance(ignored, max(self.widths))
        for confusion, width in zip(self.confusions, self.widths, strict=True):
            band = (far <= width) & ~ignored
            cells = label[band].astype(np.int64) * len(confusion) + prediction[band]
            confusion += np.bincount(cells, minlength=confusion.size).reshape(confusion.shape)

    def result(self):
        """Returns {width: mIoU}."""
        scores = map(Scores.from_confusion, self.confusions)
        return {width: score.mean_iou for width, score in zip(self.widths, scores, strict=True)}


class ContourScores:
    """Boundary IoU and boundary F-score of every class.

    Boundary IoU compares bands: the pixels of a class that are closer to its outside than 2 % of the diagonal. It is
    the intersection over the union of the bands of label and prediction, both summed over all images. The F-score
    compares contours, the outermost pixels of a class: it combines the share of the predicted contour that lies within
    0.75 % of the diagonal of the true one (precision) and the share of the true contour that lies as close to the
    predicted one (recall). It is the mean over the images that show the class in label or prediction.

    Ignored pixels belong to no class, and what lies beyond the edges of the image is outside of every class.
    """

    def __init__(self, num_classes, ignore_label):
        self.ignore_label = ignore_label
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
        unknown = np.full(len(self.union), np.nan)
        iou = np.divide(self.intersection, self.union, out=unknown, where=self.union > 0)
        return iou, np.array([_mean(scores) for scores in self.f_scores])


def _mean(scores):
    # The exactly rounded sum of `fsum` does not depend on the order in which the images come.
    return math.fsum(scores) / len(scores) if scores else math.nan


def f_score(truth, found, tolerance):
    """Returns the F-score of two contours (H, W) bool: 2 precision recall / (precision + recall).

    Args:
      truth: the pixels of the true contour.
      found: the pixels of the predicted contour.
      tolerance: distance in pixels up to which a pixel of one contour counts as lying on the other.
    """
    if not truth.any() or not found.any():
        return 0.0
    precision = np.mean(distance(truth, tolerance)[found] <= tolerance)
    recall = np.mean(distance(found, tolerance)[truth] <= tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def inner_distance(mask, limit):
    """Returns the distance of every pixel to the outside of a mask; what lies beyond the image is outside.

    As in `distance`, it is exact up to `limit`.
    """
    return distance(np.pad(~mask, 1, constant_values=True), limit)[1:-1, 1:-1]


def distance(mask, limit):
    """Returns the distance of every pixel to the nearest True pixel of a mask (H, W) bool.

    Distances up to `limit` are exact; larger ones are only known to be larger than `limit`. This bound is what makes
    the computation quick: only as many columns to the left and right are searched as `limit` has pixels.

    Returns:
      (H, W) float64.
    """
    # The nearest True pixel lies in one of the columns nearby. Its squared distance is the squared vertical distance
    # within that column plus the squared distance between the columns (Pythagoras).
    vertical = _vertical_distance(mask, limit).astype(np.float64) ** 2
    reach = int(np.floor(limit))
    padded = np.pad(vertical, ((0, 0), (reach, reach)), constant_values=np.inf)
    width = mask.shape[1]
    nearest = np.full(mask.shape, np.inf)
    for offset in range(-reach, reach + 1):
        start = reach + offset
        np.minimum(nearest, padded[:, start : start + width] + offset**2, out=nearest)
    return np.sqrt(nearest)


def _vertical_distance(mask, limit):
    """Returns the distance of every pixel to the nearest True pixel in its column, at most limit + 1; (H, W)."""
    rows = np.arange(mask.shape[0])[:, None]
    far = -(limit + 1) - mask.shape[0]  # the row of a pixel that is farther than `limit` from every row of the image
    above = np.maximum.accumulate(np.where(mask, rows, far), axis=0)  # row of the nearest True pixel at or above
    below = np.maximum.accumulate(np.where(mask[::-1], rows, far), axis=0)[::-1]  # the same from the bottom upwards
    return np.minimum(np.minimum(rows - above, (mask.shape[0] - 1 - rows) - below), limit + 1)
