"""The scores of a segmentation, all computed from one confusion matrix, as the reference computes them.

A confusion matrix counts pixels: cell (i, j) holds the number of pixels whose label is i and whose prediction is j. It
is counted on the device in int64, because float32 is inexact above 2^24 pixels. The scores are computed in NumPy.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from deeplab.layers import hardware


class ConfusionMatrix(tf.Module):
    """Counts pixels by (label, prediction), on every replica of a strategy.

    Attributes:
      counts: (K, K) int64 variable; rows are labels, columns predictions.
    """

    def __init__(self, num_classes, ignore_label):
        super().__init__(name="confusion_matrix")
        self.ignore_label = ignore_label
        # Every replica counts on its own, and reading the variable sums over the replicas: the replicas need not wait
        # for each other after every batch.
        self.counts = tf.Variable(
            tf.zeros((num_classes, num_classes), tf.int64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
            name="counts",
        )

    def update(self, labels, predictions):
        """Counts the pixels of `labels` and `predictions`, class ids of one and the same shape."""
        num_classes = self.counts.shape[0]
        self.counts.assign_add(confusion_matrix(labels, predictions, num_classes, self.ignore_label))

    def result(self):
        """Returns the counts as a (K, K) int64 NumPy array, summed over the replicas."""
        return self.counts.numpy()


def confusion_matrix(labels, predictions, num_classes, ignore_label):
    """Counts the pixels of each (label, prediction), fewer than 2^31; runs on the device, also inside tf.function.

    Args:
      labels: class ids of any shape; pixels of `ignore_label` are not counted.
      predictions: class ids 0..num_classes-1, of the same shape.
      num_classes: K.
      ignore_label: the label of pixels that belong to no class.

    Returns:
      (K, K) int64; rows are labels, columns predictions.
    """
    if not hardware.is_accelerated():
        return _count_on_cpu(labels, predictions, num_classes, ignore_label)
    # GPUs compute with int64 and send int32 to the host, except that they count in int32 alone.
    labels, predictions = tf.reshape(tf.cast(labels, tf.int64), [-1]), tf.reshape(tf.cast(predictions, tf.int64), [-1])
    counted = tf.not_equal(labels, ignore_label)
    # Shapes must not depend on the number of ignored pixels, so these are counted in the row of class 0, with weight 0.
    cells = tf.where(counted, labels, 0) * num_classes + predictions  # the cells of the matrix, row after row
    counts = tf.math.unsorted_segment_sum(tf.cast(counted, tf.int32), cells, num_classes * num_classes)
    return tf.cast(tf.reshape(counts, (num_classes, num_classes)), tf.int64)


def _count_on_cpu(labels, predictions, num_classes, ignore_label):
    """As `confusion_matrix`, in half of the time: 32 bits, and a kernel that counts without weights."""
    labels, predictions = tf.reshape(tf.cast(labels, tf.int32), [-1]), tf.reshape(tf.cast(predictions, tf.int32), [-1])
    total = num_classes * num_classes
    cells = tf.where(tf.equal(labels, ignore_label), total, labels * num_classes + predictions)  # one cell for the rest
    counts = tf.raw_ops.DenseBincount(input=cells, size=total + 1, weights=tf.zeros((0,), tf.int32))
    return tf.cast(tf.reshape(counts[:total], (num_classes, num_classes)), tf.int64)


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores that follow from a confusion matrix.

    IoU of a class is intersection over union: the pixels that were rightly given to the class, divided by the pixels
    that have the class as label, as prediction, or as both. Arrays are (K,) float64, with NaN for classes that no pixel
    has as label. Scores of a split without any labelled pixel are NaN, too.

    Recall of a class is the share of the pixels with this label that were predicted rightly, which the reference calls
    accuracy. Precision is the share of the pixels with this prediction that have it as label, and 0 for a class that
    was never predicted, as its IoU is 0. F1 is the harmonic mean of both: 2 * hits / (labelled + predicted pixels). For
    pixels it is the Dice coefficient, and 2 * IoU / (1 + IoU).
    """

    confusion: np.ndarray  # (K, K) int64, rows are labels
    mean_iou: float  # mean over the classes that occur in labels or predictions
    class_iou: np.ndarray
    class_accuracy: np.ndarray  # recall: share of the pixels with this label that were predicted rightly
    class_precision: np.ndarray
    class_f1: np.ndarray  # Dice
    pixel_accuracy: float  # share of all pixels that were predicted rightly
    mean_accuracy: float  # mean of class_accuracy over the classes that occur in labels
    mean_f1: float  # mean over the classes that occur in labels or predictions, as mean_iou
    frequency_weighted_iou: float  # mean of class_iou, weighted by the number of pixels with this label
    support: np.ndarray  # (K,) int64, number of pixels with this label

    @classmethod
    def from_confusion(cls, confusion):
        """Returns the scores of a (K, K) confusion matrix."""
        confusion = np.asarray(confusion)
        hits = np.diag(confusion).astype(np.float64)
        support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
        union = support + predicted - hits
        total = support.sum()
        iou = _ratio(hits, union)
        accuracy, f1 = _ratio(hits, support), _ratio(2 * hits, support + predicted)
        labelled = support > 0
        return cls(
            confusion=confusion,
            # A class that has no label pixels, but was predicted somewhere, has an IoU of 0. As in the reference, it
            # counts in the mean, though the class itself has no score: no pixel could have been right.
            mean_iou=_mean(iou[union > 0]),
            class_iou=np.where(labelled, iou, np.nan),
            class_accuracy=accuracy,
            class_precision=np.where(labelled, hits / np.maximum(predicted, 1), np.nan),
            class_f1=np.where(labelled, f1, np.nan),
            pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
            mean_accuracy=_mean(accuracy[labelled]),
            mean_f1=_mean(f1[union > 0]),
            frequency_weighted_iou=float((support[labelled] * iou[labelled]).sum() / total) if total else float("nan"),
            support=support,
        )


def _ratio(part, whole):
    """Returns part / whole, NaN where `whole` is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values):
    return float(values.mean()) if len(values) else float("nan")
