"""Depthwise convolution as a sum over the taps of its kernel, for the training step on GPUs.

A depthwise convolution does nothing but multiply and add: cell by cell, once for each tap. XLA makes one pass over the
memory of that, forward as well as backward and at any rate. It equals tf.nn.depthwise_conv2d, but for rounding: sums
are in float32, whatever the type of the input is.
"""

import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.activations import activated, slope_times


def depthwise_by_taps(x, kernel, stride, rate, padding, before=None):
    """Equals tf.nn.depthwise_conv2d of `activated(x, before)` with `dilations=rate`.

    Args:
      x: (B, h, w, C), h and w static.
      kernel: (k, l, C, 1), k and l odd.
      stride: cells between the windows, both ways; 1 where a rate is larger than 1.
      rate: (vertical, horizontal), cells between the taps.
      padding: "SAME" or "VALID".
      before: one of `activations.ACTIVATIONS`, or None.

    Returns:
      (B, h', w', C).
    """
    how = {"stride": stride, "rate": tuple(rate), "padding": padding, "before": before}

    @tf.custom_gradient
    def convolve(x, kernel):
        return _convolve(x, kernel, **how), lambda dy: (
            _by_input(dy, x, kernel, **how),
            _by_kernel(dy, x, kernel, **how),
        )

    return convolve(x, kernel)


@hardware.part
def _convolve(x, kernel, *, stride, rate, padding, before):
    return _sum_of_taps(activated(x, before), kernel, stride, rate, padding)


@hardware.part
def _by_input(dy, x, kernel, *, stride, rate, padding, before):
    """Returns the gradient by x."""
    if stride == 1 and padding == "SAME":  # then it is a convolution with the mirrored kernel
        dx = _sum_of_taps(dy, kernel[::-1, ::-1], stride, rate, padding)
    else:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = _sum_of_taps(x, kernel, stride, rate, padding)
        dx = tape.gradient(y, x, output_gradients=dy)
    return slope_times(dx, x, before)


@hardware.part
def _by_kernel(dy, x, kernel, *, stride, rate, padding, before):
    """Returns the gradient by the kernel: for each tap, the sum over all cells of what it saw times `dy`."""
    slopes, x = tf.cast(dy, tf.float32), activated(x, before)
    sums = [tf.reduce_sum(seen * slopes, [0, 1, 2]) for seen in _seen(x, kernel.shape[:2], stride, rate, padding)]
    return tf.cast(tf.reshape(tf.stack(sums), kernel.shape), kernel.dtype)


def _sum_of_taps(x, kernel, stride, rate, padding):
    taps = tf.unstack(tf.reshape(tf.cast(kernel, tf.float32), (-1, kernel.shape[2])))
    seen = _seen(x, kernel.shape[:2], stride, rate, padding)
    return tf.cast(sum(cells * tap for cells, tap in zip(seen, taps, strict=True)), x.dtype)


def _seen(x, sides, stride, rate, padding):
    """Yields for each tap, row after row of the kernel, the cells (B, h', w', C) that it sees, float32."""
    spans = [(side - 1) * step for side, step in zip(sides, rate, strict=True)]  # cells from the first to the last tap
    axes = [_margins(side, span, stride, padding) for side, span in zip(x.shape[1:3], spans, strict=True)]
    margins, outputs = zip(*axes, strict=True)
    padded = tf.cast(tf.pad(x, [[0, 0], *margins, [0, 0]]), tf.float32)
    last = [(count - 1) * stride + 1 for count in outputs]
    for top in range(0, spans[0] + 1, rate[0]):
        for left in range(0, spans[1] + 1, rate[1]):
            yield padded[:, top : top + last[0] : stride, left : left + last[1] : stride]


def _margins(side, span, stride, padding):
    """Returns ((zeros before, zeros after), number of windows) along an axis of `side` cells."""
    if padding == "VALID":
        return (0, 0), (side - span - 1) // stride + 1
    windows = -(-side // stride)
    zeros = max((windows - 1) * stride + span + 1 - side, 0)
    return (zeros // 2, zeros - zeros // 2), windows
