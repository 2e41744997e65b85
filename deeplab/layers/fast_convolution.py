"""Convolutions in the form that is fastest on this machine; every function equals the plain form in its first line.

The forms here are for CPUs, where nothing else is said. `depthwise_parts` has those of a training on GPUs.
"""

import tensorflow as tf

from deeplab.layers import hardware
from deeplab.layers.activations import activated
from deeplab.layers.depthwise_parts import depthwise_by_parts


def conv2d(x, kernel, stride, rate, padding, training=False):
    """Equals tf.nn.conv2d with `dilations=rate`.

    Args:
      x: (B, h, w, C).
      kernel: (k, k, C, filters), k odd.
      stride: cells between the windows, both ways; 1 where a rate is larger than 1.
      rate: (vertical, horizontal), cells between the taps of the kernel.
      padding: "SAME" or "VALID"; "SAME" where a rate is larger than 1.
      training: choose the form whose gradient is fast.

    Returns:
      (B, h', w', filters).
    """
    kernel, rate = drop_padding_only_taps(kernel, rate, x.shape[1:3])
    if training and kernel.shape[:2] == (1, 1) and stride == 1:
        return pointwise(x, kernel)
    if max(rate) > 1:
        return in_blocks(x, rate, lambda blocks: tf.nn.conv2d(blocks, kernel, 1, "SAME"))
    return tf.nn.conv2d(x, kernel, stride, padding)


def depthwise_conv2d(x, kernel, stride, rate, padding, before=None, training=False):
    """Equals tf.nn.depthwise_conv2d of `activated(x, before)` with `dilations=rate`; arguments as of `conv2d`.

    The kernel is (k, k, C, 1). Zeros of the padding stay zeros.
    """
    size = kernel.shape[0]
    kernel, rate = drop_padding_only_taps(kernel, rate, x.shape[1:3])
    if training and hardware.compiles_parts() and None not in x.shape[1:3]:
        return depthwise_by_parts(x, kernel, stride, rate, padding, before)
    x = activated(x, before)
    if max(rate) > 1:
        # The gradient by the kernel takes oneDNN three times as long on grids that are smaller than the kernel.
        return in_blocks(x, rate, lambda blocks: tf.nn.depthwise_conv2d(blocks, kernel, [1] * 4, "SAME"), least=size)
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)


def drop_padding_only_taps(kernel, rate, sides):
    """Removes the taps of an atrous kernel that only ever see zero padding.

    At rate 18 on 17x17 cells only the centre is left; the paper calls that a degenerate filter (arXiv 1706.05587).

    Args:
      kernel: (k, k, in, out), k odd.
      rate: (vertical, horizontal), cells between the taps.
      sides: (h, w) of the cells that the kernel slides over; None where a side is not known, which leaves the taps.

    Returns:
      The kernel and the rate that is left: 1 along an axis on which only the centre remains.
    """
    if max(rate) == 1:
        return kernel, rate
    centre, rate = kernel.shape[0] // 2, list(rate)
    for axis, side in enumerate(sides):
        if side is not None and rate[axis] >= side:
            at_centre = [slice(None)] * axis + [slice(centre, centre + 1)]
            kernel, rate[axis] = kernel[at_centre], 1
    return kernel, tuple(rate)


def in_blocks(x, rate, convolve, least=1):
    """Equals an atrous convolution by a dense one: each of the rate x rate grids of cells becomes an image of its own.

    The zeros around an atrous convolution are the zeros that SAME puts around each grid. So cells are added only to
    fill the last row and column of grids. TensorFlow's own form adds the zeros first: it makes 72x72 cells of 33x33
    at rate 18, this form makes 36x36.

    Args:
      x: (B, h, w, C).
      rate: (vertical, horizontal), cells between the taps.
      convolve: dense convolution with an odd kernel, stride 1 and padding SAME.
      least: the least side of a grid, in cells, where x has a static size.

    Returns:
      (B, h, w, channels of `convolve`).
    """
    dynamic = tf.shape(x)
    sides = [dynamic[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2)]
    margins = [[0, _grid_side(side, step, least) * step - side] for side, step in zip(sides, rate, strict=True)]
    y = tf.batch_to_space(convolve(tf.space_to_batch(x, rate, margins)), rate, margins)
    return tf.ensure_shape(y, (*x.shape[:3], None))


def _grid_side(side, step, least):
    cells = -(-side // step)
    return max(cells, least) if isinstance(side, int) else cells


@tf.custom_gradient
def pointwise(x, kernel):
    """Equals tf.nn.conv2d by a kernel (1, 1, in, out); its gradient by the kernel is a plain product of matrices.

    oneDNN's own gradient takes up to 1.5 times as long where there are more weights than cells: it rearranges them.
    """

    def gradient(dy):
        dx = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
        )
        cells, slopes = (tf.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (x, dy))
        return dx, tf.reshape(tf.matmul(cells, slopes, transpose_a=True), kernel.shape)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient


def unfused_sum(x, y):
    """Equals x + y, for sums that are read by an activation and by another sum.

    Grappler (TensorFlow 2.21) tries to fuse such a sum with the convolution before it, fails ("exist for missing
    node"), and then fuses no convolution of the whole network with its bias and activation. `ensure_shape` costs
    nothing and hides the sum from it: an exported Xception takes 0.8 times as long.
    """
    return tf.ensure_shape(x + y, x.shape)


def inference_conv2d(x, kernel, stride, rate, padding):
    """Equals tf.nn.conv2d with `dilations=rate`, in one op where CPUs have one. For inference only."""
    if max(rate) > 1 and x.dtype == tf.float16:  # CPUs have no dilated kernel for this type
        return in_blocks(x, rate, lambda blocks: tf.nn.conv2d(blocks, kernel, 1, "SAME"))
    return tf.nn.conv2d(x, kernel, strides=stride, padding=padding, dilations=rate)


def inference_depthwise_conv2d(x, kernel, stride, rate, padding, then, dilated=False):
    """Equals `then` of tf.nn.depthwise_conv2d with `dilations=rate`. For inference only.

    Args:
      x, kernel, stride, rate, padding: as of `depthwise_conv2d`.
      then: function of the result that works on each cell by itself. It runs before BatchToSpace, so that TensorFlow
        can fuse a bias and an activation with the convolution.
      dilated: make one op of it that has dilations. In TensorFlow, only oneDNN can run such an op, and neither GPUs nor
        processors without oneDNN can. Up to rate 6 oneDNN's kernel takes 0.7 to 0.9 times as long as the other form
        for one layer; over a whole network the gain is less than 2 %.
    """
    if max(rate) > 1 and not dilated:
        return in_blocks(x, rate, lambda blocks: then(_depthwise_op(blocks, kernel, 1, (1, 1), "SAME")))
    return then(_depthwise_op(x, kernel, stride, rate, padding))


def _depthwise_op(x, kernel, stride, rate, padding):
    """Depthwise convolution in one op. For inference only: on CPUs its gradient is wrong if the rate is above 1."""
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x, filter=kernel, strides=[1, stride, stride, 1], padding=padding, dilations=[1, *rate, 1]
    )
