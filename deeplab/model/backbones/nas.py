"""PNASNet (Liu et al. 2018, arXiv 1712.00559) and HNASNet (Auto-DeepLab, Liu et al. 2019, arXiv 1901.02985).

A cell works on the current and the previous output; a network is a list of levels (0: stride 4).
"""

from typing import NamedTuple

from tensorflow import keras

from deeplab.layers.basic import ResizeLike
from deeplab.layers.pooling import MaxPooling
from deeplab.layers.stochastic import DropPath
from deeplab.model.blocks import Style

STYLE = Style(
    epsilon=1e-3,
    decay=0.9997,
    initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"),
    padding="explicit",
)
HALVES = ("left", "right")


class Operation(NamedTuple):
    """One operand of a combination: an operation on an earlier hidden state (0: current, 1: previous, 2..: sums)."""

    state: int
    op: str  # "sep", "atrous", "max" or "none"
    kernel: int = 0


class Network(NamedTuple):
    """A NAS network: the five combinations of its cell, the level of each cell, and the decoder's features."""

    combinations: tuple
    levels: dict  # output stride -> level of each cell
    taps: dict  # decoder stride -> number of the cell, -1 for the stem


PNASNET = Network(
    combinations=(
        (Operation(1, "sep", 5), Operation(1, "max", 3)),
        (Operation(0, "sep", 7), Operation(0, "max", 3)),
        (Operation(0, "sep", 5), Operation(0, "sep", 3)),
        (Operation(4, "sep", 3), Operation(0, "max", 3)),
        (Operation(1, "sep", 3), Operation(0, "none")),
    ),
    levels={
        8: (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        16: (1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2),
        32: (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
    },
    taps={4: -1, 8: 3, 16: 7},
)
HNASNET = Network(
    combinations=(
        (Operation(1, "atrous", 5), Operation(0, "sep", 3)),
        (Operation(1, "sep", 3), Operation(0, "atrous", 3)),
        (Operation(3, "sep", 3), Operation(1, "sep", 3)),
        (Operation(4, "sep", 5), Operation(2, "sep", 5)),
        (Operation(3, "sep", 5), Operation(5, "atrous", 5)),
    ),
    levels={8: (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)},
    taps={4: 2, 8: 5, 16: 7},
)


class Move(NamedTuple):
    """How a cell changes the resolution."""

    stride: int  # 1 or 2
    upsample: bool  # resize the current input to twice the size first


def build(network, blocks, images, config):
    """Builds a NAS backbone; returns (features at the output stride, {stride: decoder features})."""
    previous, current = _stem(blocks, images)
    outputs = {-1: current}
    level = 0
    levels = network.levels[config.output_stride]
    for i, target in enumerate(levels):
        move = _move(level, target, config.nas_remove_os32_stride)
        filters = config.nas_stem_output_num_conv_filters * 2**target
        cell = blocks.within(f"cell_{i}")
        keep = 1 - (i + 1) / len(levels) * (1 - config.drop_path_keep_prob)  # deeper cells drop more
        previous, current = current, _cell(cell, network, previous, current, filters, move, keep)
        outputs[i] = current
        level = target
    return blocks.activate(current, "relu"), {stride: outputs[cell] for stride, cell in network.taps.items()}


def _move(level, target, remove_os32_stride):
    if remove_os32_stride and 3 in (level, target):
        return Move(1, False)
    return Move(2 if target > level else 1, target < level)


def _stem(blocks, images):
    """Returns (output at stride 2, output at stride 4), neither activated."""
    x = _conv_bn(blocks, images, "conv0", "conv0_bn", 64, 3, stride=2)
    previous = _conv_bn(blocks, blocks.activate(x, "relu"), "conv1", "conv1_bn", 64, 3)
    current = _conv_bn(blocks, blocks.activate(previous, "relu"), "conv2", "conv2_bn", 128, 3, stride=2)
    return previous, current


def _conv_bn(blocks, x, scope, norm_scope, filters, kernel_size=1, **how):
    """Convolution, then batch norm in a scope of its own; no activation."""
    x = blocks.conv_only(x, scope, filters, kernel_size, **how)
    return blocks.normed(x, norm_scope, norm_scope="")


def _cell(blocks, network, previous, current, filters, move, keep):
    if move.upsample:
        current = ResizeLike(scale=2)(current)
    previous = ResizeLike()([previous, current])
    if previous.shape[-1] != filters:
        previous = _conv_bn(blocks, blocks.activate(previous, "relu"), "prev_1x1", "prev_bn", filters)
    current = _conv_bn(blocks, blocks.activate(current, "relu"), "1x1", "beginning_bn", filters)
    states = [current, previous]
    for i, pair in enumerate(network.combinations):
        operands = []
        for half, operation in zip(HALVES, pair, strict=True):
            stride = move.stride if operation.state < 2 else 1
            here = blocks.within(f"comb_iter_{i}/{half}")
            x = OPERATIONS[operation.op](here, states[operation.state], operation.kernel, filters, stride)
            if keep < 1 and operation.op != "none":
                x = here.layer("drop_path", lambda name: DropPath(keep, name=name))(x)
            operands.append(x)
        states.append(blocks.add(*operands))
    return keras.layers.Concatenate()(states[2:])


def _sep(blocks, x, kernel, filters, stride):
    for i, conv_stride in ((1, stride), (2, 1)):
        x = blocks.activate(x, "relu")
        x = blocks.fused_separable(x, f"separable_{kernel}x{kernel}_{i}", filters, kernel, conv_stride)
        x = blocks.normed(x, f"bn_sep_{kernel}x{kernel}_{i}", norm_scope="")
    return x


def _atrous(blocks, x, kernel, filters, stride):
    if stride == 2:
        x = ResizeLike(scale=0.5)(x)
    rate = 1 if stride == 2 else 2
    x = blocks.activate(x, "relu")
    return _conv_bn(blocks, x, f"atrous_{kernel}x{kernel}", f"bn_atr_{kernel}x{kernel}", filters, kernel, rate=rate)


def _max(blocks, x, kernel, filters, stride):
    x = MaxPooling(kernel, stride)(x)
    return x if x.shape[-1] == filters else _conv_bn(blocks, x, "1x1", "bn_1", filters)


def _none(blocks, x, _kernel, filters, stride):
    if stride == 1 and x.shape[-1] == filters:
        return x
    return _conv_bn(blocks, blocks.activate(x, "relu"), "1x1", "bn_1", filters, stride=stride)


OPERATIONS = {"sep": _sep, "atrous": _atrous, "max": _max, "none": _none}
