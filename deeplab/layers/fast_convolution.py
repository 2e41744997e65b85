"""Convolutions of arrays (B, h, w, C), where TensorFlow's own way would be slow."""

import tensorflow as tf


def reached(kernel, rate, sides):
    """Returns (kernel, rate) without taps that meet nothing but the zeros around the cells.

    At rate 18 on 17x17 cells only the centre is left; the paper calls it a degenerate filter (arXiv 1706.05587).

    Args:
      kernel: (k, k, in, out), k odd.
      rate: (vertical, horizontal), cells between the taps.
      sides: (h, w) of the cells that it slides over; None where not known, which leaves the taps.
    """
    centre, rate = kernel.shape[0] // 2, list(rate)
    for axis, side in enumerate(sides):
        if side is not None and rate[axis] >= side:
            at_centre = [slice(None)] * axis + [slice(centre, centre + 1)]
            kernel, rate[axis] = kernel[at_centre], 1
    return kernel, tuple(rate)


def in_blocks(x, rate, convolve, least=1):
    """Atrous convolution by a dense one: each of the rate x rate grids of cells becomes an image of its own.

    The zeros around an atrous convolution are those that SAME puts around each grid, so that cells are added only to
    fill the last row and column of grids. TensorFlow's own way adds the zeros first: of 33x33 cells at rate 18 it makes
    72x72, this 36x36.

    Args:
      x: (B, h, w, C).
      rate: (vertical, horizontal), cells between the taps.
      convolve: dense convolution with an odd kernel, stride 1 and padding SAME.
      least: what a side of a grid has at least, where x has a static size.

    Returns:
      (B, h, w, channels of `convolve`).
    """
    dynamic = tf.shape(x)
    sides = [dynamic[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2)]
    margins = [[0, _grid_side(side, step, least) * step - side] for side, step in zip(sides, rate, strict=True)]
    y = tf.batch_to_space(convolve(tf.space_to_batch(x, rate, margins)), rate, margins)
    return tf.ensure_shape(y, (*x.shape[:3], None))


@tf.custom_gradient
def pointwise(x, kernel):
    """Convolution by a kernel (1, 1, in, out), whose gradient by the kernel is a plain product of matrices.

    Where there are more weights than cells, oneDNN's own gradient takes up to 1.5 times as long: it arranges them anew.
    """

    def gradient(dy):
        dx = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=[1, 1, 1, 1], padding="SAME"
        )
        cells, slopes = (tf.reshape(tensor, (-1, tensor.shape[-1])) for tensor in (x, dy))
        return dx, tf.reshape(tf.matmul(cells, slopes, transpose_a=True), kernel.shape)

    return tf.nn.conv2d(x, kernel, 1, "SAME"), gradient


def _grid_side(side, step, least):
    cells = -(-side // step)
    return max(cells, least) if isinstance(side, int) else cells
