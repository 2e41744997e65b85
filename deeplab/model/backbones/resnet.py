"""ResNet v1, He et al. 2015, arXiv 1512.03385, with strides in the last unit of a block.

The beta variants replace the 7x7 convolution by three 3x3 ones.
"""

from typing import NamedTuple

from deeplab.layers.pooling import MaxPooling
from deeplab.model.atrous import plan
from deeplab.model.blocks import Style, he_initializer

STYLE = Style(
    epsilon=1e-5, decay=0.95, initializer=he_initializer(), depthwise_initializer=he_initializer(), padding="explicit"
)


class Block(NamedTuple):
    """Units of one resolution; the stride sits in the last of them."""

    units: int
    channels: int  # of the output
    stride: int
    tap: tuple | None = None  # (decoder stride, number of the unit whose last convolution it takes)


class Network(NamedTuple):
    """A ResNet: stem, kind of unit, blocks."""

    stem: tuple  # filters of the 3x3 convolutions of the beta stem; () for one 7x7
    bottleneck: bool  # units of 1x1, 3x3, 1x1 (else 3x3, 3x3)
    blocks: tuple


_BLOCKS_18 = (
    Block(2, 64, 2, tap=(4, 1)),
    Block(2, 128, 2, tap=(8, 1)),
    Block(2, 256, 2, tap=(16, 1)),
    Block(2, 512, 1),
)


def _bottlenecks(third):
    return (
        Block(3, 256, 2, tap=(4, 2)),
        Block(4, 512, 2, tap=(8, 3)),
        Block(third, 1024, 2, tap=(16, third - 1)),
        Block(3, 2048, 1),
    )


VARIANTS = {
    "resnet_v1_18": Network((), False, _BLOCKS_18),
    "resnet_v1_18_beta": Network((16, 16, 32), False, _BLOCKS_18),
    "resnet_v1_50": Network((), True, _bottlenecks(6)),
    "resnet_v1_50_beta": Network((64, 64, 128), True, _bottlenecks(6)),
    "resnet_v1_101": Network((), True, _bottlenecks(23)),
    "resnet_v1_101_beta": Network((64, 64, 128), True, _bottlenecks(23)),
}


def build(network, blocks, images, config):
    """Builds a ResNet; returns (features at the output stride, {stride: decoder features})."""
    x = _stem(network, blocks, images)
    x = MaxPooling(3, stride=2)(x)
    units = [
        (block, number, unit) for number, block in enumerate(network.blocks, 1) for unit in range(1, block.units + 1)
    ]
    strides = [block.stride if unit == block.units else 1 for block, _, unit in units]
    build_unit = _bottleneck if network.bottleneck else _lite_bottleneck
    scope = "bottleneck_v1" if network.bottleneck else "lite_bottleneck_v1"
    taps = {}
    for (block, number, unit), step in zip(units, plan(strides, config.output_stride, at=4), strict=True):
        grid = config.multi_grid[unit - 1] if config.multi_grid and number == len(network.blocks) else 1
        here = blocks.within(f"block{number}/unit_{unit}/{scope}")
        x, residual = build_unit(here, x, block.channels, step.stride, step.rate * grid)
        if block.tap and block.tap[1] == unit:
            taps[block.tap[0]] = residual
    return x, taps


def _stem(network, blocks, x):
    if not network.stem:
        return blocks.conv(x, "conv1", 64, 7, stride=2)
    for i, (filters, stride) in enumerate(zip(network.stem, (2, 1, 1), strict=True), 1):
        x = blocks.conv(x, f"conv1_{i}", filters, 3, stride=stride)
    return x


def _bottleneck(blocks, x, channels, stride, rate):
    """Returns (output, residual branch before the sum) of a bottleneck unit."""
    residual = blocks.conv(x, "conv1", channels // 4)
    residual = blocks.conv(residual, "conv2", channels // 4, 3, stride=stride, rate=rate)
    residual = blocks.conv(residual, "conv3", channels, activation=None)
    return _sum(blocks, x, residual, channels, stride), residual


def _lite_bottleneck(blocks, x, channels, stride, rate):
    """Returns (output, residual branch before the sum) of a two-convolution unit."""
    residual = blocks.conv(x, "conv1", channels, 3, rate=rate)
    residual = blocks.conv(residual, "conv2", channels, 3, stride=stride, rate=rate, activation=None)
    return _sum(blocks, x, residual, channels, stride), residual


def _sum(blocks, x, residual, channels, stride):
    if x.shape[-1] != channels:
        x = blocks.conv(x, "shortcut", channels, stride=stride, activation=None)
    elif stride > 1:
        x = MaxPooling(1, stride)(x)
    return blocks.activate(blocks.add(x, residual), "relu")
