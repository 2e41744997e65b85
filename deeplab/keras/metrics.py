"""The mean IoU for `model.compile`, as `deeplab eval` computes it from a confusion matrix."""

import tensorflow as tf
from tensorflow import keras

from deeplab.errors import UserError
from deeplab.evaluation.metrics import confusion_matrix
from deeplab.keras.labels import checked, checked_ignore_label, in_graphs
from deeplab.training.losses import same_size


@keras.utils.register_keras_serializable("deeplab")
class MeanIoU(keras.metrics.Metric):
    """Mean over the classes of intersection / union, of all pixels of an epoch; classes that never occur are left out.

    It takes logits (B, h, w, K) and labels (B, H, W) or (B, H, W, 1), and upsamples the logits. Pixels are counted in
    int64, since float32 is inexact above 16 million pixels.

    Args:
      num_classes: K.
      ignore_label: label of pixels that do not count; None if all count.
    """

    def __init__(self, num_classes, ignore_label=255, name="mean_iou", **kwargs):
        super().__init__(name=name, **kwargs)
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
            raise UserError(f"num_classes={num_classes!r}: expected the number of classes of the network")
        self.num_classes, self.ignore_label = num_classes, checked_ignore_label(ignore_label)
        shape = (num_classes, num_classes)
        self.counts = self.add_weight(name="counts", shape=shape, initializer="zeros", dtype="int64")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the pixels of a batch."""
        if sample_weight is not None:
            raise UserError("MeanIoU: takes no sample_weight; pixels that shall not count get ignore_label")
        labels, logits = checked(y_true, y_pred, self.ignore_label)
        if logits.shape[-1] != self.num_classes:
            raise UserError(f"num_classes={self.num_classes}: the network has {logits.shape[-1]} classes")
        logits, labels = same_size(logits, labels, upsample_logits=True)
        predictions = tf.argmax(logits, axis=-1)
        ignored = in_graphs(self.ignore_label)
        self.counts.assign_add(confusion_matrix(labels, predictions, self.num_classes, ignored))

    def result(self):
        """Returns the mean IoU of what was counted, a float32 scalar; 0 if nothing was."""
        counts = tf.cast(tf.convert_to_tensor(self.counts), tf.float64)
        hits = tf.linalg.diag_part(counts)
        union = tf.reduce_sum(counts, 0) + tf.reduce_sum(counts, 1) - hits
        classes = tf.cast(tf.math.count_nonzero(union), tf.float64)
        return tf.cast(tf.math.divide_no_nan(tf.reduce_sum(tf.math.divide_no_nan(hits, union)), classes), tf.float32)

    def reset_state(self):
        self.counts.assign(tf.zeros((self.num_classes, self.num_classes), tf.int64))

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "ignore_label": self.ignore_label}
