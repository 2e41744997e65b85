"""The same weights on one device, under MirroredStrategy over one, and on two logical devices of one card."""

import numpy as np
import tensorflow as tf

from deeplab.benchmarks.own_process import alone
from deeplab.benchmarks.training import Setting, repeated_batch, training_runner
from deeplab.config.training import RunConfig
from deeplab.training import state
from gpu_check import common, rows
from gpu_check.training import without_dropout

_STEPS, _TOLERANCE = 3, 1e-4
_MEBIBYTES = 8192  # of each of the two logical GPUs


def check(options):
    """Sends how far the weights are from those of one device. Every strategy has a process of its own.

    TensorFlow 2.21 mixes up the collectives of two MirroredStrategy objects in one process.
    """
    arguments = (options.sizes.small, options.quick)
    expected = alone(weights_after_training, "one_device", 1, *arguments)
    for name, devices in (("MirroredStrategy over one device", 1), ("two logical devices", 2)):
        try:
            found = alone(weights_after_training, "mirrored", devices, *arguments)
            name_of_worst, off = _worst(found, expected)
            rows.send(name, ok=off <= _TOLERANCE, worst_weight_off=off, allowed=_TOLERANCE, worst=name_of_worst)
        except Exception as error:
            rows.send(name, ok=False, error=common.one_line(error))


def weights_after_training(strategy, devices, small, quick):
    """Returns {name: array} of all variables after a few steps without TF32, in a process that has done nothing yet."""
    kind = "GPU" if common.has_gpu() else "CPU"
    how = tf.config.LogicalDeviceConfiguration(memory_limit=_MEBIBYTES if kind == "GPU" else None)
    if devices > 1:
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices(kind)[0], [how] * devices)
    if quick:
        common.hurry()
    common.use_tf32(False)
    setting = Setting("mobilenet_v2" if quick else "mobilenet_v2 + decoder", *small)
    runner = training_runner(setting, repeated_batch(setting), RunConfig(distribution_strategy=strategy))
    if runner.strategy.num_replicas_in_sync != devices:
        raise ValueError(f"{runner.strategy.num_replicas_in_sync} replicas on {devices} devices")
    without_dropout(runner)
    runner.run(_STEPS)
    return state.values(runner.step)


def _worst(found, expected):
    """Returns (name of the variable that is furthest off, how far): as a share of its largest value, if above 1."""
    off = {
        name: float(np.abs(found[name] - value).max() / max(1.0, np.abs(value).max()))
        for name, value in expected.items()
        if np.issubdtype(value.dtype, np.floating)
    }
    worst = max(off, key=off.get)
    return worst, off[worst]
