"""What Keras lacks for segmentation: losses, a metric and learning rates for `model.compile` and `model.fit`.

model.compile(keras.optimizers.SGD(deeplab.keras.Schedule(base_learning_rate=0.007), 0.9),
              deeplab.keras.CrossEntropy(ignore_label=255), metrics=[deeplab.keras.MeanIoU(21, ignore_label=255)])

Labels are (B, H, W) or (B, H, W, 1) class ids of image size. Logits may be smaller, as `build_model` gives them: losses
and metric upsample them, as the training of this project does. Inside of this package, `keras` is Keras.
"""

from deeplab.keras.losses import CrossEntropy, Dice, Focal, Lovasz
from deeplab.keras.metrics import MeanIoU
from deeplab.keras.schedules import Schedule
from deeplab.layers import folded  # registers a layer, see `registry`
from deeplab.model.network import DeepLab

__all__ = ["CrossEntropy", "DeepLab", "Dice", "Focal", "Lovasz", "MeanIoU", "Schedule"]

del folded
