"""How fast a training step is: ours beside Keras' `fit` of the same network, and ours against the batch size."""

import dataclasses
import gc
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab import devices
from deeplab.benchmarks.own_process import alone
from deeplab.benchmarks.timing import Row, interleaved, peak_memory, profiled
from deeplab.config.benchmark import NETWORKS
from deeplab.config.optimization import OptimizerConfig, ScheduleConfig
from deeplab.config.training import RunConfig, TrainConfig
from deeplab.layers import basic
from deeplab.layers.batch_norm import BatchNorm
from deeplab.model import views
from deeplab.model.network import build_model
from deeplab.training import feeding, losses
from deeplab.training.loop import StepRunner
from deeplab.training.step import TrainingStep

STEPS = 4  # in one turn, so that the work of `fit` around its steps weighs little
_IGNORE = 255
_RATE, _WEIGHT_DECAY = 0.007, 4e-5  # reference: base learning rate, L2
OURS = "ours"  # the contender that the others are compared with


class Setting(NamedTuple):
    """A network of NETWORKS and its global batch."""

    network: str
    crop: int  # pixels of a side
    batch: int


SETTINGS = (Setting("mobilenet_v2 + decoder", 321, 8), Setting("xception_65 + decoder", 257, 2))


def print_training(runs, precisions, jit_compile=False, profile=None, settings=SETTINGS):
    """Prints the time of a step of all contenders.

    Args:
      runs: how many turns of four steps each contender is timed.
      precisions: values of --mixed_precision that ours is measured with.
      jit_compile: also measure ours compiled with XLA.
      profile: folder for a TensorBoard trace of one turn of ours, or None.
      settings: what is trained.

    Returns:
      A list of `Row`, seconds per step.
    """
    print(f"\nTraining step: {runs} turns of {STEPS} steps each")
    print(f"{'':60} {'first loss':>10} {'s/step':>8} {'quartiles':>15} {'images/s':>9} {'ratio':>6}")
    rows = []
    for setting in settings:
        contenders = _contenders(setting, precisions, jit_compile)
        first = {name: take(1) for name, take in contenders.items()}
        turns = {name: lambda take=take: take(STEPS) for name, take in contenders.items()}
        times = interleaved(turns, runs, warm_up=1)
        if profile:
            profiled(profile, turns[OURS])
        rows += _print_rows(setting, times, first)
        del contenders, turns
        keras.backend.clear_session()
        gc.collect()
    return rows


def print_batches(network, runs, crop, batches):
    """Prints the throughput of our training step against the batch size, each in a process of its own.

    Args:
      network: of NETWORKS.
      runs: how often a step is timed.
      crop: pixels of a side.
      batches: numbers of images in a step.

    Returns:
      A list of `Row`, images per second.
    """
    print(f"\n{network}: training step, crop {crop}, float32")
    rows = []
    for batch in batches:
        milliseconds, memory = alone(_time_alone, Setting(network, crop, batch), runs)
        row = Row.of(f"{network}, training, batch {batch}", 1000 * batch / np.array(milliseconds), "images/s")
        print(f"{row.name:50} {row.median:8.2f} images/s {row.low:7.2f} - {row.high:7.2f} {memory:6.2f} GB", flush=True)
        rows.append(row)
    return rows


def _time_alone(setting, runs):
    """Returns (milliseconds of each step, peak GB of this process)."""
    take = steps_of(training_runner(setting, repeated_batch(setting), RunConfig(distribution_strategy="one_device")))
    return interleaved({OURS: lambda: take(1)}, runs)[OURS], peak_memory()


def _print_rows(setting, times, first):
    rows = []
    base = np.median(times[OURS]) / 1000 / STEPS
    for name, milliseconds in times.items():
        title = f"{setting.network}, crop {setting.crop}, batch {setting.batch}: {name}"
        row = Row.of(title, np.array(milliseconds) / 1000 / STEPS, "s/step")
        print(
            f"{title:60} {first[name]:10.4f} {row.median:8.3f} {row.low:7.3f}-{row.high:7.3f} "
            f"{setting.batch / row.median:9.2f} {row.median / base:6.2f}",
            flush=True,
        )
        rows.append(row)
    return rows


def _contenders(setting, precisions, jit_compile):
    """Returns {name: function (steps) -> loss of the last step}; all contenders begin with the same weights."""
    batch = repeated_batch(setting)
    takes = {}
    for precision in precisions:
        ours = OURS if precision == "none" else f"{OURS}, {precision}"
        run = RunConfig(distribution_strategy="one_device", mixed_precision=precision)
        takes[ours] = steps_of(training_runner(setting, batch, run))
        if jit_compile:
            takes[f"{ours}, XLA"] = steps_of(
                training_runner(setting, batch, dataclasses.replace(run, jit_compile=True))
            )
    if len(tf.config.list_logical_devices("CPU")) > 1 and not tf.config.list_logical_devices("GPU"):
        # `mirrored` would take the GPUs of a machine that has some; --devices measures several GPUs.
        takes[f"{OURS}, 2 devices"] = steps_of(
            training_runner(setting, batch, RunConfig(distribution_strategy="mirrored"))
        )
    takes["Keras fit, our layers, no L2"] = _fit(_network(setting), batch)
    takes["Keras fit, Keras layers"] = _fit(of_keras_layers(_network(setting)), batch)
    return takes


def repeated_batch(setting):
    """Returns an endless dataset of one batch of random images and labels, for a `Setting`."""
    rng = np.random.default_rng(0)
    shape = (setting.batch, setting.crop, setting.crop)
    images = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = rng.integers(0, NETWORKS[setting.network].num_classes, shape).astype(np.uint8)
    labels[:, : setting.crop // 8] = _IGNORE
    options = tf.data.Options()
    options.autotune.enabled = False  # `fit` ends with its iterator, which may wait seconds for the autotuner
    return tf.data.Dataset.from_tensors((images, labels)).repeat().with_options(options)


def _network(setting):
    devices.set_seed(0)
    return build_model(NETWORKS[setting.network], (setting.crop, setting.crop, 3))


def training_runner(setting, batch, run):
    """Returns the `StepRunner` that `python -m deeplab.train` would run.

    Args:
      setting: the `Setting`, whose network begins with the same random weights every time.
      batch: dataset of (images, labels), see `repeated_batch`.
      run: a RunConfig: the strategy, the precision, and whether XLA compiles the step ("auto": no).
    """
    schedule = ScheduleConfig(learning_policy="piecewise", learning_rate_values=(_RATE,))
    config = TrainConfig(
        train_logdir="-",
        dataset_dir="-",
        train_batch_size=setting.batch,
        schedule=schedule,
        optimizer=OptimizerConfig(weight_decay=_WEIGHT_DECAY),
        run=run,
    )
    strategy = devices.training_strategy(run)
    devices.set_precision(run.mixed_precision)
    with strategy.scope():
        objective = losses.Objective(config.loss, _IGNORE)
        step = TrainingStep(views.scale_outputs(_network(setting)), objective, config)
    devices.set_precision("none")
    batches = feeding.distribute(strategy, lambda *_: batch, 0, setting.batch)
    return StepRunner(strategy, step, batches, jit_compile=run.jit_compile is True)


def steps_of(runner):
    """Returns the function (steps) -> loss of the last of these steps, for a `StepRunner`."""
    return lambda count: runner.run(count)["loss"]


def _fit(network, batch):
    """Returns the function (steps) -> loss for Keras' own loop: the same loss, L2 by regularisers, momentum."""
    upsampled = basic.ResizeToScale(1.0, dtype="float32", name="upsampled")([network.output, network.input])
    whole = keras.Model(network.input, upsampled)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=_IGNORE)
    whole.compile(keras.optimizers.SGD(_RATE, momentum=0.9), loss)
    return lambda count: whole.fit(batch, steps_per_epoch=count, epochs=1, verbose=0).history["loss"][-1]


def of_keras_layers(network):
    """Returns the same network with the same weights, made of Keras' layers where Keras has one."""
    made = keras.models.clone_model(network, clone_function=_of_keras)
    for layer in network.layers:
        weights = [np.asarray(weight) for weight in layer.weights if not weight.path.endswith("updates")]
        if weights:
            made.get_layer(layer.name).set_weights(weights)
    return made


def _of_keras(layer):
    """Returns the Keras layer that does what `layer` does, or `layer` itself where Keras has no such layer."""
    if isinstance(layer, BatchNorm):
        norm = keras.layers.BatchNormalization(momentum=layer.decay, epsilon=layer.epsilon)
        return _InTurn([norm, *_activations(layer.activation)], name=layer.name)
    if isinstance(layer, (basic.Conv, basic.DepthwiseConv)):
        how = {"strides": layer.stride, "padding": "same", "dilation_rate": layer.rate}
        l2 = keras.regularizers.L2(_WEIGHT_DECAY / 2)
        if isinstance(layer, basic.Conv):
            return keras.layers.Conv2D(
                layer.filters, layer.kernel_size, use_bias=layer.use_bias, kernel_regularizer=l2, name=layer.name, **how
            )
        depthwise = keras.layers.DepthwiseConv2D(layer.kernel_size, use_bias=False, **how)
        return _InTurn([*_activations(layer.before), depthwise], name=layer.name)
    if isinstance(layer, basic.Activation):
        return _InTurn(_activations(layer.kind), name=layer.name)
    return layer


def _activations(name):
    """Returns a list of the Keras layer for an activation, or [] for None."""
    if name is None:
        return []
    return [
        keras.layers.ReLU(6.0 if name == "relu6" else None) if name in ("relu", "relu6") else basic.Activation(name)
    ]


class _InTurn(keras.layers.Layer):
    """Several layers that stand in the place of one."""

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers

    def build(self, input_shape):
        for layer in self.inner:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x

    def compute_output_shape(self, input_shape):
        for layer in self.inner:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape
