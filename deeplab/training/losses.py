"""Segmentation losses over the GLOBAL batch: sums over valid pixels divided by counts that are summed over replicas.

Every function runs in a replica and returns the share of that replica: the shares of all replicas add up to the loss,
and so do their gradients. Dividing by the number of valid pixels of the global batch, rather than of a replica's part,
makes every valid pixel count the same: otherwise a replica with few valid pixels would give each of them more weight,
and the trained weights would depend on the number of replicas. Source: reference, utils/train_utils.py.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab.config.optimization import LossConfig
from deeplab.errors import UserError
from deeplab.layers import hardware
from deeplab.layers.replicas import all_gather, all_sum, replica_index, replicas
from deeplab.layers.resize import dynamic_size, resize_bilinear, resize_labels
from deeplab.training import fast_loss

_MAX_WEIGHT = 10.0  # of a rare class with class_weights=auto
_BALANCES = {"auto": 1.0, "sqrt": 0.5}  # class_weights: exponents of the balancing weights


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss that is minimised, without L2.

    Attributes:
      config: which loss of a pixel, which loss of regions, which pixels.
      ignore_label: label of pixels that do not count.
      class_weights: None, a number, or one weight per class. They multiply the losses of pixels, but not the number of
        pixels that the sum is divided by.
    """

    config: LossConfig
    ignore_label: int
    class_weights: float | Sequence[float] | None = None

    def __call__(self, outputs, labels, step):
        """Returns {name of an output: this replica's share of the loss of that output}, float32 scalars.

        Args:
          outputs: {name: (B, h, w, K) logits}; for an image pyramid one entry per scale and the merged logits.
          labels: (B, H, W) class ids.
          step: int64 scalar; hard example mining ramps up with it.
        """
        return {name: self._loss(tf.cast(logits, tf.float32), labels, step) for name, logits in outputs.items()}

    def _loss(self, logits, labels, step):
        if fast_loss.applies(self.config, logits, labels):
            return self._fast_loss(logits, labels)
        logits, labels = same_size(logits, labels, self.config.upsample_logits)
        classes = logits.shape[-1]
        labels = tf.cast(labels, tf.int64)  # GPUs compare and clip int32 on the host
        logits, labels = tf.reshape(logits, (-1, classes)), tf.reshape(labels, (-1,))
        valid = tf.cast(labels != self.ignore_label, tf.float32)
        total = self._pixel_loss(logits, labels, valid, step)
        if self.config.region_loss != "none":
            region = REGION_LOSSES[self.config.region_loss](tf.nn.softmax(logits), labels, valid)
            total += self.config.region_loss_weight * region
        return total

    def _fast_loss(self, logits, labels):
        """Equals the rest of `_loss` where `fast_loss.applies`."""
        labels = tf.cast(labels, tf.int32)
        valid = labels != self.ignore_label
        weights = self._weights(labels)
        by_class = None if isinstance(weights, (int, float)) else weights
        total = fast_loss.summed_cross_entropy(logits, tf.where(valid, labels, -1), by_class)
        total = total if by_class is not None else total * weights
        return tf.math.divide_no_nan(total, all_sum(tf.reduce_sum(tf.cast(valid, tf.float32))))

    def _pixel_loss(self, logits, labels, valid, step):
        config = self.config
        losses = PIXEL_LOSSES[config.loss](logits, labels, config) * valid * self._weights(labels)
        if config.top_k_percent_pixels < 1:
            share = mined_share(config.top_k_percent_pixels, config.hard_example_mining_step, step)
            return hardest_mean(losses, share)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), all_sum(tf.reduce_sum(valid)))

    def _weights(self, labels):
        if self.class_weights is None or isinstance(self.class_weights, (int, float)):
            return 1.0 if self.class_weights is None else self.class_weights
        weights = tf.constant(self.class_weights, tf.float32)
        return tf.gather(weights, tf.clip_by_value(labels, 0, len(self.class_weights) - 1))


def class_weights(source, dataset, splits=("train",), label_weights=None):
    """Returns one weight per class, or None if all weights are 1.

    Args:
      source: None; "auto": median frequency balancing (arXiv 1411.4734, sec. 6.3.2), at most 10; "sqrt": the square
        roots of these weights; or a text file with one number per class.
      dataset: has num_classes, class_histogram and class_image_pixels.
      splits: the names of the splits that are trained on.
      label_weights: the value of the reference's flag of that name, or None.
    """
    if source is None:
        return label_weights
    if label_weights is not None:
        raise UserError(f"class_weights={source}: expected no value together with label_weights; give one of them")
    if source in _BALANCES:
        frequencies = class_frequencies(source, dataset, splits)
        present = (frequencies > 0) & (np.arange(dataset.num_classes) != dataset.ignore_label)
        weights = np.minimum(np.median(frequencies[present]) / np.where(present, frequencies, 1.0), _MAX_WEIGHT)
        return tuple(float(weight) for weight in np.where(present, weights ** _BALANCES[source], 0.0))
    try:
        with tf.io.gfile.GFile(source) as file:
            weights = tuple(float(word) for word in file.read().replace(",", " ").split())
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(f"class_weights={source}: not a file of numbers ({' '.join(str(error).split())})") from None
    if len(weights) != dataset.num_classes:
        raise UserError(
            f"class_weights={source}: {len(weights)} weights, expected {dataset.num_classes}, one per class"
        )
    return weights


def class_frequencies(source, dataset, splits):
    """Returns (K,) float64: the pixels of each class divided by all pixels of the images that hold the class.

    A dataset.json of an older version does not count these images. The pixels of the class are then divided by the
    pixels of all classes, and a line says so. The arguments are those of `class_weights`.
    """
    counted = [split for split in splits if split in dataset.class_histogram] or list(dataset.class_histogram)
    if not counted:
        raise UserError(f"class_weights={source}: dataset.json has no class_histogram; build the shards again")
    if set(counted) != set(splits):
        _tell(f"{source}: dataset.json counts the pixels of {', '.join(counted)}, which stand for {', '.join(splits)}")
    pixels = sum(np.asarray(dataset.class_histogram[split], np.float64) for split in counted)
    if all(split in dataset.class_image_pixels for split in counted):
        images = sum(np.asarray(dataset.class_image_pixels[split], np.float64) for split in counted)
        return pixels / np.maximum(images, 1.0)
    _tell(f"{source}: dataset.json does not count the images that hold a class; frequencies are shares of all pixels")
    return pixels / max(pixels.sum(), 1.0)


def _tell(what):
    print(f"class_weights={what}. Build the shards again to count them.", flush=True)


def same_size(logits, labels, upsample_logits):
    """Brings logits (B, h, w, K) and labels (B, H, W) to one size: upsamples the logits, or subsamples the labels."""
    if upsample_logits:
        return resize_bilinear(logits, dynamic_size(labels)), labels
    return logits, resize_labels(labels, tf.shape(logits)[1:3])


def cross_entropy(logits, labels, config):
    """Softmax cross entropy, (N,), of logits (N, K); 0 for a label outside the classes, as in the reference."""
    # With determinism, GPUs would sort the gradient of the sparse form, pixel by pixel.
    if config.label_smoothing or (hardware.is_deterministic() and hardware.is_accelerated()):
        classes = logits.shape[-1]
        smooth = config.label_smoothing
        targets = tf.one_hot(labels, classes) * (1 - smooth) + smooth / classes
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    legal = (labels >= 0) & (labels < logits.shape[-1])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(legal, labels, 0), logits)
    return tf.where(legal, losses, 0.0)


def focal(logits, labels, config):
    """Cross entropy times (1 - probability of the label) ^ gamma. Source: arXiv 1708.02002, eq. 4 without alpha."""
    losses = cross_entropy(logits, labels, config)
    probability = _of_labels(tf.nn.softmax(logits), labels)
    return losses * tf.pow(
        tf.maximum(1.0 - probability, 1e-6), config.focal_gamma
    )  # 0 ^ gamma has no gradient for gamma < 1


def _of_labels(values, labels):
    """Returns (N,): of each row of `values` (N, K) the value of its label. The loss is 0 where a label is no class."""
    classes = values.shape[-1]
    if hardware.is_accelerated():  # the gradient of a gather is a slow scatter there, and its places travel to the host
        return tf.reduce_sum(values * tf.one_hot(labels, classes), axis=-1)
    return tf.gather(values, tf.cast(tf.clip_by_value(labels, 0, classes - 1), tf.int32), batch_dims=1)


def mined_share(share, mining_step, step):
    """Returns the share of pixels that enter the loss at `step`; it falls from 1 to `share` until `mining_step`."""
    if not mining_step:
        return share
    ratio = tf.minimum(1.0, tf.cast(step, tf.float32) / mining_step)
    return ratio * share + (1.0 - ratio)


def hardest_mean(losses, share):
    """Returns the mean of the nonzero ones among the int(share * N) largest losses; N counts pixels of all replicas.

    Every replica sorts the losses of all replicas, so that the hardest pixels of the global batch are chosen, and adds
    up those that are its own: only these have a gradient there.

    Args:
      losses: (M,) losses of the pixels of this replica.
      share: of the pixels that are chosen, a number or a float32 scalar.
    """
    everyones = all_gather(tf.stop_gradient(losses))
    pixels = tf.size(everyones)
    count = tf.cast(share * tf.cast(pixels, tf.float32), tf.int32)
    # XLA needs a static number of values. If the share changes from step to step, all losses are sorted.
    static = tf.get_static_value(count)
    values, places = tf.math.top_k(everyones, pixels if static is None else int(static))
    ranks = tf.range(tf.size(values, tf.int64))
    chosen = tf.cast(ranks < tf.cast(count, tf.int64), tf.float32)
    mask = _put_back(chosen, places, pixels)
    own = tf.slice(mask, [replica_index() * tf.size(losses)], [tf.size(losses)])
    nonzero = tf.cast(tf.math.count_nonzero(values * chosen), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(losses * own), nonzero)


def dice(probabilities, labels, valid):
    """Returns 1 - mean over the classes present in the labels of 2 |P L| / (|P| + |L|), on valid pixels.

    Args:
      probabilities: P, (M, K).
      labels: L, (M,) class ids.
      valid: (M,) 1.0 for pixels that count, else 0.0.
    """
    truth = tf.one_hot(labels, probabilities.shape[-1]) * valid[:, tf.newaxis]
    probabilities *= valid[:, tf.newaxis]
    overlap = _with_everyones(tf.reduce_sum(probabilities * truth, axis=0))
    size = _with_everyones(tf.reduce_sum(probabilities + truth, axis=0))
    present = tf.cast(_with_everyones(tf.reduce_sum(truth, axis=0)) > 0, tf.float32)
    scores = tf.math.divide_no_nan(2.0 * overlap, size)
    return _share(tf.math.divide_no_nan(tf.reduce_sum((1.0 - scores) * present), tf.reduce_sum(present)))


def lovasz(probabilities, labels, valid):
    """Lovasz-softmax, the convex surrogate of 1 - mean IoU over the classes present in the labels.

    Arguments as in `dice`. Source: arXiv 1705.08790.
    """
    classes = probabilities.shape[-1]
    truth = tf.one_hot(labels, classes) * valid[:, tf.newaxis]
    errors = tf.abs(truth - probabilities) * valid[:, tf.newaxis]
    total, present = 0.0, 0.0
    for k in range(classes):
        weights, exists = _lovasz_weights(all_gather(tf.stop_gradient(errors[:, k])), all_gather(truth[:, k]))
        own = tf.slice(weights, [replica_index() * tf.size(labels)], [tf.size(labels)])
        total += exists * tf.reduce_sum(errors[:, k] * own)
        present += exists
    return tf.math.divide_no_nan(total, present)


def _lovasz_weights(errors, truth):
    """Returns (weight of every pixel's error, 1.0 if the class occurs else 0.0): the gradient of the Jaccard loss."""
    order = tf.argsort(errors, direction="DESCENDING", stable=True)
    truth = tf.gather(truth, order)
    positives = tf.reduce_sum(truth)
    missed = positives - tf.cumsum(truth)
    union = positives + tf.cumsum(1.0 - truth)
    jaccard = 1.0 - tf.math.divide_no_nan(missed, union)
    steps = jaccard - tf.concat([[0.0], jaccard[:-1]], axis=0)
    return _put_back(steps, order, tf.size(errors)), tf.cast(positives > 0, tf.float32)


def _put_back(values, places, size):
    """Returns (size,) with each of `values` in its place, an int32 that no other value has; 0 elsewhere.

    It is a sum, since GPUs have no deterministic scatter and would copy everything to the host instead. Int32 indices
    are changed to int64 before anything is done with them, because GPUs work on int32 on the host.
    """
    return tf.math.unsorted_segment_sum(values, tf.cast(places, tf.int64), size)


def _with_everyones(own):
    """Sums a tensor over the replicas. Its gradient is the gradient of this replica's own summand."""
    return own + tf.stop_gradient(all_sum(own) - own)


def _share(loss):
    """Returns the share of this replica in a loss that every replica computed for the whole batch.

    The value is divided by the number of replicas, the gradient is not: `_with_everyones` cut it down to this
    replica's pixels already.
    """
    return loss + tf.stop_gradient(loss / replicas() - loss)


PIXEL_LOSSES = {"cross_entropy": cross_entropy, "focal": focal}
REGION_LOSSES = {"dice": dice, "lovasz": lovasz}
