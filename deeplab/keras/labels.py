"""The labels that losses and metric take from `model.fit`, checked."""

import tensorflow as tf

from deeplab.errors import UserError

_NO_LABEL = -1  # in place of an ignore label


def checked(labels, logits, ignore_label):
    """Returns labels (B, H, W) int64 and logits (B, h, w, K) float32.

    Args:
      labels: (B, H, W) or (B, H, W, 1) class ids of any type.
      logits: (B, h, w, K).
      ignore_label: the label of pixels that do not count, or None.

    Raises:
      UserError: the ranks are others.
      tf.errors.InvalidArgumentError: when the graph runs, for a label that is neither a class nor `ignore_label`.
    """
    labels, logits = tf.convert_to_tensor(labels), tf.cast(tf.convert_to_tensor(logits), tf.float32)
    if logits.shape.rank != 4:
        raise UserError(f"the model's output has shape {logits.shape}: expected logits (batch, height, width, classes)")
    classes = logits.shape[-1]
    if labels.shape.rank == 4 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.shape.rank != 3:
        raise UserError(
            f"the labels have shape {labels.shape}: expected class ids (batch, height, width), with or without a last "
            "axis of length 1, neither one-hot nor one number for an image"
        )
    labels = tf.cast(labels, tf.int64)
    legal = (labels >= 0) & (labels < classes)
    if ignore_label is not None:
        legal |= labels == ignore_label
    message = f"a label is neither a class, 0 to {classes - 1}, nor ignore_label={ignore_label}"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(legal), [message])]):
        return tf.identity(labels), logits


def in_graphs(ignore_label):
    """Returns the ignore label for graphs, which need a number: one that no label has stands for None."""
    return _NO_LABEL if ignore_label is None else ignore_label


def checked_ignore_label(value):
    """Returns `ignore_label` as an int or None; a UserError for another type."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UserError(f"ignore_label={value!r}: expected a class id, such as 255, or None if all pixels count")
    return value
