"""Losses for `model.compile`: those of `deeplab.training.losses`, with labels of image size and an ignore label.

A loss of pixels is the sum over the valid pixels of the batch divided by their number. On several replicas of a
strategy this is the global batch, so that every valid pixel counts the same.
"""

import dataclasses

import tensorflow as tf
from tensorflow import keras

from deeplab.config.optimization import LossConfig
from deeplab.errors import UserError
from deeplab.files import nearest
from deeplab.keras.labels import checked, checked_ignore_label, in_graphs
from deeplab.training.losses import REGION_LOSSES, Objective, same_size

_MEAN = "sum_over_batch_size"  # Keras' name of the only reduction there is here: one number for the whole batch


class _SegmentationLoss(keras.losses.Loss):
    """A loss of logits (B, h, w, K) and labels (B, H, W) or (B, H, W, 1): one number for the whole batch.

    Args:
      ignore_label: label of pixels that do not count; None if all count.
    """

    def __init__(self, ignore_label=255, name=None, reduction=_MEAN, **kwargs):
        if reduction != _MEAN:
            raise UserError(f"reduction={reduction!r}: expected {_MEAN!r}, because the loss is one number for a batch")
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.ignore_label = checked_ignore_label(ignore_label)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Returns the loss of a batch, a float32 scalar; in a replica its share, since Keras adds the replicas up."""
        if sample_weight is not None:
            raise UserError(
                f"{type(self).__name__}: takes no sample_weight or class_weight; pixels that shall not count get "
                "ignore_label, and CrossEntropy and Focal take class_weights"
            )
        return self.share(*checked(y_true, y_pred, self.ignore_label))

    def call(self, y_true, y_pred):
        return self(y_true, y_pred)

    def share(self, labels, logits):
        """Returns the share of this replica in the loss of labels (B, H, W) int64 and logits (B, h, w, K) float32."""
        raise NotImplementedError

    def get_config(self):
        return {"name": self.name, "reduction": _MEAN, "ignore_label": self.ignore_label}


class _PixelLoss(_SegmentationLoss):
    """A loss of pixels. Options of training (`deeplab train --help`, "Loss") have the same names here.

    Args:
      ignore_label: label of pixels that do not count; None if all count.
      class_weights: one weight per class, which multiplies the losses of its pixels; or None.
      options: `label_smoothing`, `top_k_percent_pixels`, `region_loss` ("dice" or "lovasz", which is added),
        `region_loss_weight`; Focal takes `focal_gamma`, too.
    """

    kind = "cross_entropy"
    options: tuple[str, ...] = ("label_smoothing", "top_k_percent_pixels", "region_loss", "region_loss_weight")

    def __init__(self, ignore_label=255, class_weights=None, name=None, reduction=_MEAN, dtype=None, **options):
        super().__init__(ignore_label, name, reduction, **({} if dtype is None else {"dtype": dtype}))
        for option in options:
            if option not in self.options:
                known = nearest.hint(option, self.options) or f"; expected {', '.join(self.options)}"
                raise UserError(f"{option}={options[option]!r}: no option of {type(self).__name__}{known}")
        self.settings = LossConfig(loss=self.kind, **options)
        self.class_weights = None if class_weights is None else [float(weight) for weight in class_weights]

    def share(self, labels, logits):
        if self.class_weights is not None and len(self.class_weights) != logits.shape[-1]:
            raise UserError(
                f"class_weights: {len(self.class_weights)} weights, expected {logits.shape[-1]}, one per class"
            )
        ignored = in_graphs(self.ignore_label)
        objective = Objective(self.settings, ignored, self.class_weights)
        return objective({"": logits}, labels, tf.zeros((), tf.int64))[""]

    def get_config(self):
        settings = dataclasses.asdict(self.settings)
        own = {name: settings[name] for name in self.options}
        return {**super().get_config(), "class_weights": self.class_weights, **own}


@keras.utils.register_keras_serializable("deeplab")
class CrossEntropy(_PixelLoss):
    __doc__ = (_PixelLoss.__doc__ or "").replace("A loss of pixels.", "Softmax cross entropy of the pixels.")


@keras.utils.register_keras_serializable("deeplab")
class Focal(_PixelLoss):
    __doc__ = (_PixelLoss.__doc__ or "").replace(
        "A loss of pixels.", "Cross entropy times (1 - probability of the label) ^ focal_gamma; arXiv 1708.02002."
    )

    kind = "focal"
    options = ("focal_gamma", *_PixelLoss.options)


class _RegionLoss(_SegmentationLoss):
    kind = ""

    def share(self, labels, logits):
        logits, labels = same_size(logits, labels, upsample_logits=True)
        logits, labels = tf.reshape(logits, (-1, logits.shape[-1])), tf.reshape(labels, (-1,))
        ignored = in_graphs(self.ignore_label)
        return REGION_LOSSES[self.kind](tf.nn.softmax(logits), labels, tf.cast(labels != ignored, tf.float32))


@keras.utils.register_keras_serializable("deeplab")
class Dice(_RegionLoss):
    """1 - mean Dice score of the classes that occur in the labels of the batch. Source: arXiv 1606.04797.

    Args:
      ignore_label: label of pixels that do not count; None if all count.
    """

    kind = "dice"


@keras.utils.register_keras_serializable("deeplab")
class Lovasz(_RegionLoss):
    """Lovasz-softmax over the classes that occur in the labels of the batch. Source: arXiv 1705.08790.

    Args:
      ignore_label: label of pixels that do not count; None if all count.
    """

    kind = "lovasz"
