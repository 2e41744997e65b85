"""Depthwise convolution in parts that XLA compiles, for the training step on GPUs.

There are two forms. On one H100 an input of (16, 257, 257, 64) takes so many milliseconds forward, and for the gradient
by the kernel, and compiling both takes so many seconds (measured in JAX 0.11, which has the same compiler;
`scripts/gpu_check.sh --parts=depthwise` measures them in TensorFlow):

                          float32              bfloat16
    cuDNN's kernels       0.22  0.21  2.7 s    0.14  0.24  8.4 s
    a sum over the taps   0.40  1.07  0.6 s    0.30  0.67  0.7 s

A large network has 20 different shapes. In 16 bits, cuDNN offers XLA many algorithms that are a thousand times too
slow, and trying them takes minutes; so the sum over the taps is the form there. At strides and rates above 1, cuDNN was
not measured. Both forms replace kernels of TensorFlow's that took a third of a training step.
"""

import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.activations import activated, gradient_by, slope_times
from deeplab.layers.pooling import same_margins


def depthwise_by_parts(x, kernel, stride, rate, padding, before=None, by_taps=None):
    """Equals tf.nn.depthwise_conv2d of `activated(x, before)` with `dilations=rate`, but for rounding.

    Args:
      x: (B, h, w, C), h and w static.
      kernel: (k, l, C, 1), k and l odd.
      stride: cells between the windows, both ways; 1 where a rate is larger than 1.
      rate: (vertical, horizontal), cells between the taps.
      padding: "SAME" or "VALID".
      before: one of `activations.ACTIVATIONS`, or None.
      by_taps: take the sum over the taps or cuDNN's kernels; None takes what was measured to be faster.

    Returns:
      (B, h', w', C).
    """
    if by_taps is None:
        by_taps = x.dtype != tf.float32 or stride > 1 or max(rate) > 1
    how = {"by_taps": by_taps, "stride": stride, "rate": tuple(rate), "padding": padding, "before": before}

    @tf.custom_gradient
    def convolve(x, kernel):
        return _convolve(x, kernel, **how), lambda dy: (
            _by_input(dy, x, kernel, **how),
            _by_kernel(dy, x, kernel, **how),
        )

    return convolve(x, kernel)


@hardware.part
def _convolve(x, kernel, *, by_taps, stride, rate, padding, before):
    return (_sum_of_taps if by_taps else _kernels)(activated(x, before), kernel, stride, rate, padding)


@hardware.part
def _by_input(dy, x, kernel, *, by_taps, stride, rate, padding, before):
    """Returns the gradient by x."""
    convolve = _sum_of_taps if by_taps else _kernels
    if stride == 1 and padding == "SAME":  # then it is a convolution with the mirrored kernel
        dx = convolve(dy, kernel[::-1, ::-1], stride, rate, padding)
    else:
        dx = gradient_by(lambda x: convolve(x, kernel, stride, rate, padding), x, dy)
    return slope_times(dx, x, before)


@hardware.part
def _by_kernel(dy, x, kernel, *, by_taps, stride, rate, padding, before):
    """Returns the gradient by the kernel: for each tap, the sum over all cells of what it saw times `dy`."""
    x = activated(x, before)
    if not by_taps:
        return gradient_by(lambda kernel: _kernels(x, kernel, stride, rate, padding), kernel, dy)
    slopes = tf.cast(dy, tf.float32)
    sums = [tf.reduce_sum(seen * slopes, [0, 1, 2]) for seen in _seen(x, kernel.shape[:2], stride, rate, padding)]
    return tf.cast(tf.reshape(tf.stack(sums), kernel.shape), kernel.dtype)


def _kernels(x, kernel, stride, rate, padding):
    """The operation for which XLA takes cuDNN's kernels; `rate` is 1."""
    del rate
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)


def _sum_of_taps(x, kernel, stride, rate, padding):
    """Multiplies and adds, cell by cell, once for each tap; sums are in float32. XLA reads and writes memory once."""
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
    return same_margins(side, span + 1, stride), -(-side // stride)
