"""What several parts use: small networks on a CPU, programs in this process, memory, one-line errors."""

import contextlib
import importlib
import io
import os

import numpy as np
import tensorflow as tf
from absl import flags

from deeplab import cli, devices
from deeplab.benchmarks import timing
from helpers import fake_data
from helpers.programs import CONFIG_OF
from helpers.short_networks import shorten_mobilenet

_PROGRAMS = {"train": "train", "eval": "evaluate"}  # flag reader: name in deeplab.programs of the module and function


def hurry():
    """Makes this process build a short mobilenet_v2, and trace without optimizing graphs.

    A process that a part starts has to call this function, too.
    """
    shorten_mobilenet(least_stride=2)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def has_gpu():
    """Tells whether TensorFlow sees a GPU. It does not initialise the GPU, so that devices can still be set up."""
    return bool(tf.config.list_physical_devices("GPU"))


def use_tf32(value):
    """Lets float32 convolutions and products of matrices keep 10 bits only, or not.

    Call this once, at the beginning of a process: TensorFlow keeps the kernel that it has chosen for a convolution.
    """
    tf.config.experimental.enable_tensor_float_32_execution(value)


def run_program(program, *words):
    """Runs `python -m deeplab.PROGRAM WORDS` in this process; returns (exit code or None, what it printed).

    In a process of its own, the program would first load the libraries of the GPU for ten seconds.
    """
    module, name = CONFIG_OF[program]
    config = cli.read(getattr(importlib.import_module(module), name), [program, *words], flags.FlagValues())
    function = getattr(importlib.import_module(f"deeplab.programs.{_PROGRAMS[program]}"), _PROGRAMS[program])
    print("$", program, *words, flush=True)
    told = io.StringIO()
    try:
        with contextlib.redirect_stdout(_Both(told)):
            code = function(config)
    finally:
        devices.set_precision("none")
        tf.keras.backend.clear_session()
    return code, told.getvalue()


class _Both(io.TextIOBase):
    """Writes to the log and to a buffer."""

    def __init__(self, buffer):
        self._log, self._buffer = os.dup(1), buffer

    def write(self, text):
        os.write(self._log, text.encode())
        return self._buffer.write(text)


def forget_peak():
    """Lets `peak_gib` begin anew, where there is a GPU."""
    if has_gpu():
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_gib():
    """Returns the largest memory of the GPU in use since `forget_peak`, in GiB; without a GPU that of the process."""
    if has_gpu():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return timing.peak_memory() * 1e9 / 2**30


def one_line(error):
    """Returns the class of an error and the beginning of its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def smooth_images(batch, crop):
    """Returns (batch, crop, crop, 3) uint8: different colours in different places, so that labels differ, too."""
    return np.stack([fake_data.image(crop, crop, seed) for seed in range(batch)])
