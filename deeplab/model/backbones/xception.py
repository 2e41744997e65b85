"""Modified Xception. Source: DeepLabv3+ paper, fig. 4, and Chollet 2017, arXiv 1610.02357."""

from typing import NamedTuple

from deeplab.model.atrous import plan
from deeplab.model.blocks import Style, truncated_normal

STYLE = Style(
    epsilon=1e-3,
    decay=0.9997,
    initializer=truncated_normal(0.09),
    depthwise_initializer=truncated_normal(0.09),
    pointwise_initializer=truncated_normal(0.09),
    padding="explicit",
    preactivated=True,
)


class Unit(NamedTuple):
    """Three separable convolutions and a shortcut; the stride sits in the third."""

    scope: str
    depths: tuple
    stride: int = 1
    shortcut: str = "conv"  # "conv", "sum" or "none"
    repeat: int = 1
    relu_inside: bool = False  # last block: relu after each half instead of one before the pair
    tap: int | None = None  # the second separable convolution is the decoder's feature at this stride
    multi_grid: bool = False


_MIDDLE = Unit("middle_flow/block1", (728, 728, 728), 1, "sum", repeat=16)
_EXIT = (
    Unit("exit_flow/block1", (728, 1024, 1024), 2, tap=16),
    Unit("exit_flow/block2", (1536, 1536, 2048), 1, "none", relu_inside=True, multi_grid=True),
)
_ENTRY = (
    Unit("entry_flow/block1", (128, 128, 128), 2),
    Unit("entry_flow/block2", (256, 256, 256), 2, tap=4),
    Unit("entry_flow/block3", (728, 728, 728), 2, tap=8),
)
_ENTRY_71 = (
    Unit("entry_flow/block1", (128, 128, 128), 2),
    Unit("entry_flow/block2", (256, 256, 256), 1),
    Unit("entry_flow/block3", (256, 256, 256), 2, tap=4),
    Unit("entry_flow/block4", (728, 728, 728), 1),
    Unit("entry_flow/block5", (728, 728, 728), 2, tap=8),
)
VARIANTS = {
    "xception_41": (*_ENTRY, _MIDDLE._replace(repeat=8), *_EXIT),
    "xception_65": (*_ENTRY, _MIDDLE, *_EXIT),
    "xception_71": (*_ENTRY_71, _MIDDLE, *_EXIT),
}


def build(rows, blocks, images, config):
    """Builds an Xception; returns (features at the output stride, {stride: decoder features})."""
    bounded = config.use_bounded_activation
    relu = "relu6" if bounded else "relu"
    x = blocks.conv(images, "entry_flow/conv1_1", 32, 3, stride=2, activation=relu)
    x = blocks.conv(x, "entry_flow/conv1_2", 64, 3, activation=relu)
    blocks = blocks.within("", activation=relu, padding="same" if bounded else "explicit")
    units = [(row, i + 1) for row in rows for i in range(row.repeat)]
    taps = {}
    for (row, index), step in zip(
        units, plan([row.stride for row, _ in units], config.output_stride, at=2), strict=True
    ):
        rates = [step.rate * grid for grid in (config.multi_grid if row.multi_grid else None) or (1, 1, 1)]
        unit = blocks.within(f"{row.scope}/unit_{index}/xception_module")
        x, middle = _unit(unit, x, row, step.stride, rates, bounded)
        if row.tap:
            taps[row.tap] = middle
    return x, taps


def _unit(blocks, x, row, stride, rates, bounded):
    """Returns (output, output of the second separable convolution) of one unit."""
    entry, outputs = x, []
    strides = (1, 1, stride)
    for i, (depth, rate, conv_stride) in enumerate(zip(row.depths, rates, strides, strict=True), 1):
        x = _separable(blocks, x, f"separable_conv{i}", depth, row, bounded, rate=rate, stride=conv_stride)
        outputs.append(x)
    if row.shortcut != "none":
        if row.shortcut == "conv":
            entry = blocks.conv(entry, "shortcut", row.depths[-1], stride=stride, activation=None)
        if bounded:
            x, entry = blocks.activate(x, "clip6"), blocks.activate(entry, "clip6")
        x = blocks.add(x, entry)
        x = blocks.activate(x, "relu6" if bounded else None)
    return x, outputs[1]


def _separable(blocks, x, scope, depth, row, bounded, **how):
    """One separable convolution: relu, depthwise, norm, pointwise, norm; in the last block relu after each norm."""
    after = blocks.style.activation if row.relu_inside else ("clip6" if bounded else None)
    before = None if row.relu_inside else blocks.style.activation
    x = blocks.depthwise(x, f"{scope}_depthwise", activation=after, before=before, **how)
    return blocks.conv(x, f"{scope}_pointwise", depth, activation=after)
