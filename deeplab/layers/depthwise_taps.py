"""Depthwise convolution as a sum over the taps of its kernel, for the training step on GPUs.

A depthwise convolution does nothing but multiply and add: cell by cell, once for each tap. XLA makes one pass over the
memory of that, forward as well as backward and at any rate. It equals tf.nn.depthwise_conv2d, but for rounding: sums
are in float32, whatever the type of the input is.
"""

import tensorflow as tf

from deeplab.layers import hardware


def depthwise_by_taps(x, kernel, stride, rate, padding):
    """Equals tf.nn.depthwise_conv2d with `dilations=rate`.

    Args:
      x: (B, h, w, C), h and w static.
      kernel: (k, l, C, 1), k and l odd.
      stride: cells between the windows, both ways; 1 where a rate is larger than 1.
      rate: (vertical, horizontal), cells between the taps.
      padding: "SAME" or "VALID".

    Returns:
      (B, h', w', C).
    """
    how = {"stride": stride, "rate": tuple(rate), "padding": padding}

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradient(dy):
            if stride == 1 and padding == "SAME":  # then the gradient is a convolution with the mirrored kernel
                dx = _convolve(dy, kernel[::-1, ::-1], **how)
            else:
                dx = _by_input(dy, x, kernel, **how)
            return dx, _by_kernel(dy, x, kernel, **how)

        return _convolve(x, kernel, **how), gradient

    return convolve(x, kernel)


@hardware.part
def _convolve(x, kernel, *, stride, rate, padding):
    return _sum_of_taps(x, kernel, stride, rate, padding)


@hardware.part
def _by_input(dy, x, kernel, *, stride, rate, padding):
    """Returns the gradient by x."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = _sum_of_taps(x, kernel, stride, rate, padding)
    return tape.gradient(y, x, output_gradients=dy)


@hardware.part
def _by_kernel(dy, x, kernel, *, stride, rate, padding):
    """Returns the gradient by the kernel: for each tap, the sum over all cells of what it saw times `dy`."""
    slopes = tf.cast(dy, tf.float32)
    sums = [tf.reduce_sum(seen * slopes, [0, 1, 2]) for seen in _seen(x, kernel.shape[:2], stride, rate, padding)]
    return tf.cast(tf.reshape(tf.stack(sums), kernel.shape), kernel.dtype)


def _sum_of_taps(x, kernel, stride, rate, padding):
    taps = tf.unstack(tf.reshape(tf.cast(kernel, tf.float32), (-1, kernel.shape[2])))
    seen = _seen(x, kernel.shape[:2], stride, rate, padding)
    return tf.cast(sum(cells * tap for cells, tap in zip(seen, taps, strict=True)), x.dtype)


def _seen(x, sides, stride, rate, padding):
    """Yields for each tap the cells (B, h', w', C) that it sees in its windows, float32; row after row of the kernel."""
    spans = [(side - 1) * step for side, step in zip(sides, rate, strict=True)]  # cells from the first to the last tap
    margins, outputs = zip(*(_margins(*axis, stride, padding) for axis in zip(x.shape[1:3], spans)), strict=True)
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
