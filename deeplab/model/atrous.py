"""How a network keeps its resolution: strides become rates once the output stride is reached. Pure Python."""

from typing import NamedTuple


class Step(NamedTuple):
    """How one layer of a network runs."""

    stride: int  # of the layer itself
    rate: int  # cells between the taps of its kernel
    at: int  # input pixels per cell of its output


def plan(strides, output_stride, at=1):
    """Plans layers with the given nominal strides so that the output stride is never exceeded.

    Once the product of strides has reached `output_stride`, later strides become 1 and multiply the rate of the layers
    *after* them: the layer that loses its stride still runs at the old rate. Source: reference `stack_blocks_dense`.

    Args:
      strides: nominal stride of each layer, first to last.
      output_stride: input pixels per cell that the last layer shall have at most.
      at: input pixels per cell of the first layer's input.

    Returns:
      A list of Step, one per stride.

    Raises:
      ValueError: the strides cannot meet the output stride exactly.
    """
    steps, rate = [], 1
    for stride in strides:
        if at == output_stride:
            steps.append(Step(1, rate, at))
            rate *= stride
        else:
            at *= stride
            steps.append(Step(stride, rate, at))
        if at > output_stride:
            raise ValueError(f"output_stride={output_stride} cannot be reached with strides {list(strides)}")
    return steps
