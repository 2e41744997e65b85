"""Calls a function in a fresh process, where memory and devices are its own. Imports TensorFlow only there."""

import importlib
import multiprocessing

from deeplab.files import quiet


def alone(function, *arguments, logical_cpus=1):
    """Calls a function in a process of its own and returns what it returns. The GPU options of this process hold there.

    Args:
      function: of a module.
      *arguments: for it; they and its result have to be picklable.
      logical_cpus: how many devices TensorFlow shall see in the CPU.
    """
    place = function.__module__, function.__qualname__
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_call, (place, arguments, logical_cpus, _devices().gpu_config()))


def _devices():
    return importlib.import_module("deeplab.devices")  # imports TensorFlow, which the child does quietly


def _call(place, arguments, logical_cpus, gpu):
    import warnings

    quiet.import_tensorflow()
    import tensorflow as tf

    warnings.filterwarnings("ignore", module="keras")
    if logical_cpus > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * logical_cpus)
    _devices().take_memory_as_needed(gpu.gpu_memory_growth)
    module, name = place
    with _devices().tf32(gpu.tf32):
        return getattr(importlib.import_module(module), name)(*arguments)
