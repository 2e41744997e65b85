"""MobileNet v2, v3 (large and small for segmentation) and EdgeTPU.

v2: Sandler et al. 2018, arXiv 1801.04381, table 2. v3: Howard et al. 2019, arXiv 1905.02244, tables 1 and 2 with the
last block's channels halved. None has its classifier.
"""

from typing import NamedTuple

from tensorflow import keras

from deeplab.model.atrous import plan
from deeplab.model.blocks import Style, truncated_normal

STYLE = Style(
    epsilon=1e-3,
    decay=0.997,
    initializer=truncated_normal(0.09),
    depthwise_initializer=truncated_normal(0.09),
    activation="relu6",
)


class Block(NamedTuple):
    """An inverted residual: 1x1 expansion, depthwise k x k, 1x1 projection; rows repeat as in the papers."""

    expansion: float  # channels of the depthwise convolution / channels of the input
    channels: int  # of the output
    stride: int = 1  # of the first of the repeats
    repeat: int = 1
    kernel: int = 3
    activation: str = "relu6"
    squeeze: bool = False  # squeeze and excite between depthwise and projection
    fused: bool = False  # one full k x k convolution instead of expansion and depthwise
    residual: bool = True  # add the input where stride and channels allow it
    tap: int | None = None  # the (last) depthwise output is the decoder's feature at this stride


class Network(NamedTuple):
    """A MobileNet: first convolution, blocks, and a last 1x1 convolution where there is one."""

    stem: int  # filters of the first 3x3 convolution, stride 2
    stem_activation: str
    blocks: tuple
    last: int | None = None  # filters of Conv_1
    last_activation: str | None = None
    free_rounding: bool = False  # v2: with a depth multiplier, output channels aren't rounded to multiples of 8


V2 = Network(
    stem=32,
    stem_activation="relu6",
    blocks=(
        #     t  c   stride repeat
        Block(1, 16, 1, 1),
        Block(6, 24, 2, 2, tap=4),
        Block(6, 32, 2, 3, tap=8),
        Block(6, 64, 2, 4),
        Block(6, 96, 1, 3, tap=16),
        Block(6, 160, 2, 3),
        Block(6, 320, 1, 1),
    ),
    free_rounding=True,
)

V3_LARGE = Network(
    stem=16,
    stem_activation="hard_swish",
    blocks=(
        Block(1, 16, 1, 1, 3, "relu"),
        Block(64 / 16, 24, 2, 1, 3, "relu"),
        Block(72 / 24, 24, 1, 1, 3, "relu", tap=4),
        Block(72 / 24, 40, 2, 1, 5, "relu", squeeze=True),
        Block(120 / 40, 40, 1, 2, 5, "relu", squeeze=True, tap=8),
        Block(240 / 40, 80, 2, 1, 3, "hard_swish"),
        Block(200 / 80, 80, 1, 1, 3, "hard_swish"),
        Block(184 / 80, 80, 1, 2, 3, "hard_swish"),
        Block(480 / 80, 112, 1, 1, 3, "hard_swish", squeeze=True),
        Block(672 / 112, 112, 1, 1, 3, "hard_swish", squeeze=True, tap=16),
        Block(336 / 112, 80, 2, 1, 5, "hard_swish", squeeze=True),
        Block(480 / 80, 80, 1, 2, 5, "hard_swish", squeeze=True),
    ),
    last=480,
    last_activation="hard_swish",
)

V3_SMALL = Network(
    stem=16,
    stem_activation="hard_swish",
    blocks=(
        Block(1, 16, 2, 1, 3, "relu", squeeze=True, tap=4),
        Block(72 / 16, 24, 2, 1, 3, "relu"),
        Block(88 / 24, 24, 1, 1, 3, "relu", tap=8),
        Block(96 / 24, 40, 2, 1, 5, "hard_swish", squeeze=True),
        Block(240 / 40, 40, 1, 2, 5, "hard_swish", squeeze=True),
        Block(120 / 40, 48, 1, 1, 5, "hard_swish", squeeze=True),
        Block(144 / 48, 48, 1, 1, 5, "hard_swish", squeeze=True, tap=16),
        Block(144 / 48, 48, 2, 1, 5, "hard_swish", squeeze=True),
        Block(288 / 48, 48, 1, 2, 5, "hard_swish", squeeze=True),
    ),
    last=288,
    last_activation="hard_swish",
)

EDGETPU = Network(
    stem=32,
    stem_activation="relu",
    blocks=(
        Block(1, 16, 1, 1, 3, "relu", fused=True),  # not larger than its input, so the expansion vanishes
        Block(8, 32, 2, 1, 3, "relu", fused=True),
        Block(4, 32, 1, 3, 3, "relu", fused=True),
        Block(8, 48, 2, 1, 3, "relu", fused=True),
        Block(4, 48, 1, 3, 3, "relu", fused=True),
        Block(8, 96, 2, 1, 3, "relu"),
        Block(4, 96, 1, 3, 3, "relu"),
        Block(8, 96, 1, 1, 3, "relu", residual=False),
        Block(4, 96, 1, 3, 3, "relu"),
        Block(8, 160, 2, 1, 5, "relu"),
        Block(4, 160, 1, 3, 5, "relu"),
        Block(8, 192, 1, 1, 3, "relu"),
    ),
    last=1280,
    last_activation="relu",
)


def build(network, blocks, images, config):
    """Builds a MobileNet; returns (features at the output stride, {stride: decoder features})."""
    rounded = _rounding(network, config)
    rows = [row._replace(stride=row.stride if i == 0 else 1) for row in network.blocks for i in range(row.repeat)]
    steps = plan([2] + [row.stride for row in rows], config.output_stride)
    x = blocks.conv(images, "Conv", rounded(network.stem), 3, stride=2, activation=network.stem_activation)
    taps = {}
    for index, (row, step) in enumerate(zip(rows, steps[1:], strict=True)):
        scope = f"expanded_conv_{index}" if index else "expanded_conv"
        x, depthwise = _inverted_residual(blocks.within(scope), x, row, step, rounded(row.channels))
        if row.tap:
            taps[row.tap] = depthwise
    if network.last:
        x = blocks.conv(x, "Conv_1", rounded(network.last), activation=network.last_activation)
    return x, taps


def _inverted_residual(blocks, x, row, step, channels):
    """Returns (output, output of the depthwise convolution) of one block."""
    entry, inputs = x, x.shape[-1]
    expanded = make_divisible(inputs * row.expansion, 1 if row.expansion == 1 else 8)
    how = {"stride": step.stride, "rate": step.rate, "activation": row.activation}
    if row.fused:
        if expanded > inputs:
            x = blocks.conv(x, "expand", expanded, row.kernel, **how)
    else:
        if expanded > inputs:
            x = blocks.conv(x, "expand", expanded, activation=row.activation)
        x = blocks.depthwise(x, "depthwise", row.kernel, **how)
    depthwise = x
    if row.squeeze:
        x = _squeeze_excite(blocks.within("squeeze_excite"), x)
    x = blocks.conv(x, "project", channels, activation=None)
    if row.residual and step.stride == 1 and inputs == channels:
        x = blocks.add(x, entry)
    return x, depthwise


def _squeeze_excite(blocks, x):
    """Multiplies each channel by a gate computed from the global means."""
    channels = x.shape[-1]
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = blocks.conv(gate, "Conv", make_divisible(channels / 4, 8), norm=False, activation="relu")
    gate = blocks.conv(gate, "Conv_1", channels, norm=False, activation="gate")
    return keras.layers.Multiply()([x, gate])


def make_divisible(value, divisor, minimum=None):
    """Rounds a channel count to a multiple of `divisor`, not below 90 % of it. Source: reference."""
    minimum = divisor if minimum is None else minimum
    rounded = max(minimum, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _rounding(network, config):
    """Returns channels -> channels under the depth multiplier."""
    free = network.free_rounding and config.depth_multiplier != 1
    divisor = config.divisible_by or (1 if free else 8)
    return lambda channels: make_divisible(channels * config.depth_multiplier, divisor, 1 if free else 8)
