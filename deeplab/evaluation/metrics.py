"""Scores of a segmentation, all from one confusion matrix. As the reference scores.

The matrix is counted on the device in int64 (float32 is inexact above 2^24 pixels); the scores are NumPy.
"""

import dataclasses

import numpy as np
import tensorflow as tf


class ConfusionMatrix(tf.Module):
    """Counts pixels by (label, prediction); sums over the replicas of a strategy.

    Attributes:
      counts: (K, K) int64 variable, rows are labels, columns predictions.
    """

    def __init__(self, num_classes, ignore_label):
        super().__init__(name="confusion_matrix")
        self.num_classes, self.ignore_label = num_classes, ignore_label
        self.counts = tf.Variable(
            tf.zeros((num_classes, num_classes), tf.int64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
            name="counts",
        )

    def update(self, labels, predictions):
        """Adds the pixels of `labels` and `predictions`, any one shape of class ids."""
        self.counts.assign_add(confusion_matrix(labels, predictions, self.num_classes, self.ignore_label))

    def result(self):
        """Returns the counts as a (K, K) int64 NumPy array, summed over replicas."""
        return self.counts.numpy()

    def reset(self):
        self.counts.assign(tf.zeros_like(self.counts))


def confusion_matrix(labels, predictions, num_classes, ignore_label):
    """Counts the pixels of each (label, prediction); runs on the device, also inside tf.function.

    Args:
      labels: class ids of any shape; pixels of `ignore_label` are not counted.
      predictions: class ids 0..num_classes-1, of the same shape.

    Returns:
      (K, K) int64, rows are labels.
    """
    labels, predictions = tf.reshape(tf.cast(labels, tf.int32), [-1]), tf.reshape(tf.cast(predictions, tf.int32), [-1])
    weights = tf.cast(tf.not_equal(labels, ignore_label), tf.int64)
    cells = tf.where(weights > 0, labels, 0) * num_classes + predictions  # ignored pixels: class 0 with weight 0
    counts = tf.math.unsorted_segment_sum(weights, cells, num_classes * num_classes)
    return tf.reshape(counts, (num_classes, num_classes))


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a confusion matrix says; arrays are (K,) float64, NaN where a class has no label pixel."""

    confusion: np.ndarray  # (K, K) int64, rows are labels
    mean_iou: float  # over the classes that occur in labels or predictions
    class_iou: np.ndarray
    class_accuracy: np.ndarray  # share of a class's label pixels that were found
    pixel_accuracy: float
    mean_accuracy: float  # over the classes with label pixels
    frequency_weighted_iou: float
    support: np.ndarray  # (K,) int64, label pixels

    @classmethod
    def of(cls, confusion):
        """Returns the scores of a (K, K) confusion matrix."""
        confusion = np.asarray(confusion)
        hits = np.diag(confusion).astype(np.float64)
        support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
        union = support + predicted - hits
        total = support.sum()
        iou = _ratio(hits, union)
        accuracy = _ratio(hits, support)
        labelled = support > 0
        return cls(
            confusion=confusion,
            mean_iou=_mean(iou[union > 0]),
            class_iou=np.where(labelled, iou, np.nan),  # a class that was only predicted still counts 0 in the mean
            class_accuracy=accuracy,
            pixel_accuracy=float(hits.sum() / total) if total else float("nan"),
            mean_accuracy=_mean(accuracy[labelled]),
            frequency_weighted_iou=float((support[labelled] * iou[labelled]).sum() / total) if total else float("nan"),
            support=support,
        )


def _ratio(part, whole):
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values):
    return float(values.mean()) if len(values) else float("nan")
