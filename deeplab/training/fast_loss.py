"""The cross entropy of upsampled logits in the form that is fastest on CPUs: value and gradient, strip by strip.

In TensorFlow 2.21 a single thread computes the sparse softmax cross entropy, and so does the gradient of the bilinear
resize. The plain form therefore takes twice as long as this form, and it keeps two arrays of the size of the upsampled
logits until the gradient is computed. `losses.Objective` has the definition.
"""

import numpy as np
import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.resize import interpolation_matrix

_STRIP = 1 << 19  # upsampled logits in a strip: the caches hold the few arrays of this size that one strip needs
_CHAINS = 4  # strips that are computed at the same time; the others wait, so that memory holds the arrays of four


def applies(config, logits, labels):
    """Tells whether `summed_cross_entropy` computes the loss that a LossConfig asks for, and is the faster form."""
    plain = config.loss == "cross_entropy" and not config.label_smoothing and config.region_loss == "none"
    all_pixels = config.upsample_logits and config.top_k_percent_pixels >= 1
    static = all(tf.TensorShape(array.shape).is_fully_defined() for array in (logits, labels))  # labels may be NumPy's
    return plain and all_pixels and static and not (hardware.is_accelerated() or hardware.is_compiled())


def summed_cross_entropy(logits, labels, weights=None):
    """Returns the sum of the softmax cross entropy of all pixels, each times its weight, a float32 scalar.

    The logits are upsampled to the size of the labels. Their gradient is computed together with the sum, so that only
    an array of the size of `logits` is kept until it is needed. Labels and weights have no gradient.

    Args:
      logits: (B, h, w, K) float32 of a static shape.
      labels: (B, H, W) class ids of a static shape. Pixels whose label is not in 0..K-1 do not count.
      weights: (B, H, W) float32, or None where all weights are 1.
    """

    @tf.custom_gradient
    def summed(logits):
        total, slopes = _sum_and_gradient(logits, tf.cast(labels, tf.int32), weights)
        return total, lambda upstream: upstream * slopes

    return summed(logits)


def _sum_and_gradient(logits, labels, weights):
    """Returns the sum and its gradient by the logits. Columns are upsampled in whole images, rows in strips."""
    (batch, h, _, classes), width = logits.shape, labels.shape[2]
    wide = tf.raw_ops.ResizeBilinear(images=logits, size=(h, width), align_corners=True)
    wide = tf.reshape(tf.transpose(wide, (0, 1, 3, 2)), (batch, h, classes * width))
    totals, slopes, strips = [], [], []
    for image in range(batch):
        own = None if weights is None else weights[image]
        total, slope = _of_image(wide[image], labels[image], own, logits.shape[1:], strips)
        totals.append(total)
        slopes.append(slope)
    return tf.add_n(totals), tf.stack(slopes)


def _of_image(wide, labels, weights, shape, strips):
    """Returns (sum, its gradient by the (h, w, K) logits) of one image.

    Args:
      wide: (h, K * W), logits whose columns are upsampled.
      labels: (H, W) int32.
      weights: (H, W), or None.
      shape: (h, w, K).
      strips: list with one tensor of each strip of the images before; it becomes longer.
    """
    (h, w, classes), (height, width) = shape, labels.shape
    totals, slopes, rows = [], [], []
    for pixels, cells, matrix in _strips(h, height, max(1, _STRIP // (classes * width))):
        with tf.control_dependencies(strips[-_CHAINS:][:1] if len(strips) >= _CHAINS else []):
            own = None if weights is None else weights[pixels]
            total, slope = _of_strip(tf.identity(wide)[cells], matrix, labels[pixels], own)
        totals.append(total)
        slopes.append(slope)
        strips.append(slope)
        rows.append(np.arange(cells.start, cells.stop))
    rows = np.concatenate(rows)
    narrow = tf.raw_ops.ResizeBilinearGrad(
        grads=tf.transpose(tf.reshape(tf.concat(slopes, axis=0), (1, -1, classes, width)), (0, 1, 3, 2)),
        original_image=tf.zeros((1, len(rows), w, classes)),
        align_corners=True,
    )
    # Neighbouring strips read the same row of cells. Its gradient is the sum of what both give.
    slopes = tf.math.unsorted_segment_sum(tf.reshape(narrow, (-1, w * classes)), rows, h)
    return tf.add_n(totals), tf.reshape(slopes, shape)


def _strips(source, target, size):
    """Yields (slice of the pixel rows, slice of the rows of cells that they read, matrix from these to those)."""
    matrix = interpolation_matrix(source, target)
    for start in range(0, target, size):
        part = matrix[start : start + size]
        (read,) = np.nonzero(part.any(axis=0))
        cells = slice(int(read[0]), int(read[-1]) + 1)
        yield slice(start, start + len(part)), cells, part[:, cells]


def _of_strip(wide, matrix, labels, weights):
    """Returns (sum, its gradient by `wide`) of one strip.

    Classes come before columns. Maxima and sums over the classes then work on whole rows, which is fast.

    Args:
      wide: (rows of cells, K * W), logits.
      matrix: (rows of pixels, rows of cells), upsamples the rows.
      labels: (rows of pixels, W) int32.
      weights: (rows of pixels, W), or None.
    """
    pixels, width = labels.shape
    logits = tf.reshape(tf.matmul(matrix, wide), (pixels, -1, width))
    truth = tf.one_hot(labels, logits.shape[1], axis=1)  # only zeros where a label is no class
    counted = tf.cast((labels >= 0) & (labels < logits.shape[1]), tf.float32)
    logits -= tf.reduce_max(logits, axis=1, keepdims=True)
    powers = tf.exp(logits)
    sums = tf.reduce_sum(powers, axis=1)
    losses = counted * tf.math.log(sums) - tf.reduce_sum(truth * logits, axis=1)
    slopes = powers * (counted / sums)[:, tf.newaxis] - truth
    if weights is not None:
        losses, slopes = losses * weights, slopes * weights[:, tf.newaxis]
    slopes = tf.reshape(slopes, (pixels, wide.shape[1]))
    return tf.reduce_sum(losses), tf.matmul(matrix, slopes, transpose_a=True)
