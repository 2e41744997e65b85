"""Times of both forms of a depthwise convolution, from which `deeplab/layers/depthwise_parts.py` chooses."""

import time

import numpy as np
import tensorflow as tf

from deeplab.benchmarks.timing import interleaved
from deeplab.layers import depthwise_parts
from gpu_check import common, rows

_SHAPES = ((257, 64), (33, 728))  # (side, channels) of the largest and of the most frequent ones of xception_65
_FORMS = {"cuDNN's kernels": False, "sum over the taps": True}
_DTYPES = (tf.bfloat16, tf.float32)
_CLOSE = 0.1  # of the largest gradient: processors without bfloat16 add up in it (0.065), GPUs do not (under 0.02)


def measure(options):
    """Sends the time of a forward pass with both gradients, and of compiling it, for every shape, type and form."""
    common.use_tf32(True)
    batch, largest = options.sizes.batch, options.sizes.crop
    for side, channels in _SHAPES:
        for dtype in _DTYPES:
            _measure((batch, min(side, largest), min(side, largest), channels), dtype, options.sizes.runs)


def _measure(shape, dtype, runs):
    rng = np.random.default_rng(0)
    sizes = shape, (3, 3, shape[-1], 1), shape
    x, kernel, slopes = (tf.cast(tf.constant(rng.normal(size=size), tf.float32), dtype) for size in sizes)
    title, turns, compiling, gradients = f"{shape} {dtype.name}", {}, {}, {}
    for form, by_taps in _FORMS.items():
        turns[form] = _turn(x, kernel, slopes, by_taps)
        begun = time.monotonic()
        gradients[form] = turns[form]()
        compiling[form] = time.monotonic() - begun
    largest = np.abs(gradients["sum over the taps"]).max()
    for form, milliseconds in interleaved(turns, runs, warm_up=1).items():
        off = np.abs(gradients[form] - gradients["sum over the taps"]).max() / largest
        rows.send(f"{form}, {title}", ok=off < _CLOSE, ms=np.median(milliseconds), compiling_s=compiling[form], off=off)


def _turn(x, kernel, slopes, by_taps):
    """Returns a function that computes everything and returns the gradient by the kernel, float32."""

    @tf.function(autograph=False)
    def turn():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = depthwise_parts.depthwise_by_parts(x, kernel, 1, (1, 1), "SAME", by_taps=by_taps)
        dx, dkernel = tape.gradient(y, [x, kernel], output_gradients=slopes)
        with tf.control_dependencies([dx]):
            return tf.cast(dkernel, tf.float32)

    return lambda: turn().numpy()
