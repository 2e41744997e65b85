"""A network of two convolutions and batches for it, for quick tests of training. Layers and names are the real ones."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab import devices
from deeplab.config.training import RunConfig, TrainConfig
from deeplab.layers import hardware
from deeplab.layers.basic import Activation, Conv, Normalize
from deeplab.layers.batch_norm import BatchNorm
from deeplab.layers.stochastic import Dropout
from deeplab.training import feeding, losses, state
from deeplab.training.loop import StepRunner
from deeplab.training.step import TrainingStep

CLASSES, IGNORE, SIZE = 3, 255, 17


def config(**options):
    """Returns a TrainConfig for 20 steps; keywords as its fields."""
    defaults = {"train_logdir": "unused", "dataset_dir": "unused", "train_batch_size": 4}
    return TrainConfig(**{**defaults, **options})


def network(frozen=False, dropout=0.1):
    """Returns a keras.Model of images (B, 17, 17, 3) to {"merged_logits": (B, 5, 5, 3)}; equal weights each time."""
    devices.set_seed(0)
    images = keras.Input((SIZE, SIZE, 3))
    x = Normalize(2 / 255, (1.0, 1.0, 1.0), name="pixels")(images)
    x = Conv(8, 3, stride=4, name="net.conv")(x)
    x = BatchNorm(1e-3, 0.9, frozen=frozen, name="net.conv.BatchNorm")(x)
    x = Dropout(dropout, name="net.dropout")(Activation("relu")(x))
    x = Conv(CLASSES, 1, use_bias=True, name="logits.semantic")(x)
    return keras.Model(images, {"merged_logits": Activation("clip6", name="merged_logits", dtype="float32")(x)})


def batches(count, batch_size=4, seed=0):
    """Returns a list of (images, labels); ignored pixels are spread unevenly over the batch."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, batch_size, SIZE, SIZE, 3)).astype(np.uint8)
    labels = rng.integers(0, CLASSES, (count, batch_size, SIZE, SIZE)).astype(np.uint8)
    labels[:, 0] = IGNORE
    labels[:, 1, 3:] = IGNORE
    return list(zip(images, labels, strict=True))


def step(settings, **options):
    """Returns a `TrainingStep` for a `network(**options)` with the loss of the TrainConfig `settings`."""
    return TrainingStep(network(**options), losses.Objective(settings.loss, IGNORE), settings)


def weights(step):
    """Returns {name: array} of everything that training changes."""
    return state.values(step)


def check_same(expected, found):
    """Checks that two {name: array} differ by no more than 1e-5 of the largest value of each; on GPUs, by 1e-4."""
    assert expected.keys() == found.keys()
    tolerance = 1e-4 if hardware.is_accelerated() else 1e-5
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerance * np.abs(value).max(), err_msg=name)


def two_replicas():
    """Returns the strategy of two logical CPUs, or of two logical GPUs."""
    strategy = devices.training_strategy(RunConfig(distribution_strategy="mirrored"))
    assert strategy.num_replicas_in_sync == 2
    return strategy


def train(step, count=4, batch_size=4):
    """Takes steps on `batches`, outside of any strategy; returns the last step's results."""
    run = tf.function(tf.autograph.experimental.do_not_convert(step))
    for images, labels in batches(count, batch_size):
        results = run(tf.constant(images), tf.constant(labels))
    return {name: float(value) for name, value in results.items()}


def runner(strategy, settings, count, **options):
    """Returns a `StepRunner` of `step(settings, **options)` in a strategy, on `count` batches over and over."""
    images, labels = (np.stack(parts) for parts in zip(*batches(count), strict=True))
    dataset = devices.untuned(tf.data.Dataset.from_tensor_slices((images, labels)).repeat())
    with strategy.scope():
        made = step(settings, **options)
    return StepRunner(strategy, made, feeding.distribute(strategy, lambda first, host, hosts: dataset, 0, 4))
