"""Kernel taps that the training crops are too small for.

A tap that lies as far from the centre of its kernel as the crop has cells sees only the zero padding around the cells.
Its gradient is zero, so that it keeps the value that it began with. On a larger image the tap sees cells, and what it
adds to them was never trained. With the value 0 it adds nothing, and the network computes on a larger image what it
computes on a crop.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tensorflow import keras

from deeplab.model.names import assign


class UntrainedTaps(NamedTuple):
    """The taps of one convolution that its training does not reach."""

    layer: str  # name of the layer
    rate: tuple[int, int]  # of the layer: (vertical, horizontal)
    mask: np.ndarray  # (k, k) bool, True where the tap sees only padding


def find(network: keras.Model) -> list[UntrainedTaps]:
    """Returns the `UntrainedTaps` of every convolution that has some.

    Args:
      network: as `build_model` returns it for images of one size, the size of the training crops.
    """
    masks: dict[str, UntrainedTaps] = {}
    for layer, (_batch, *sides, _channels) in network.parts.convolutions:
        if layer.stride != 1 or layer.kernel_size == 1:
            continue
        steps = np.abs(np.arange(layer.kernel_size) - layer.kernel_size // 2)
        beyond = [steps * rate >= side for rate, side in zip(layer.rate, sides, strict=True)]
        mask = beyond[0][:, None] | beyond[1]
        if layer.name in masks:  # the scales of an image pyramid share the layer
            mask = mask & masks[layer.name].mask
        masks[layer.name] = UntrainedTaps(layer.name, layer.rate, mask)
    return [taps for taps in masks.values() if taps.mask.any()]


def not_zero(network: keras.Model, taps: Sequence[UntrainedTaps]) -> list[UntrainedTaps]:
    """Returns those of the `taps` whose values in this network are not all zero."""
    return [one for one in taps if np.any(_kernel(network, one).numpy()[one.mask])]


def set_to_zero(network: keras.Model, taps: Sequence[UntrainedTaps]) -> None:
    """Sets the taps to 0; `network` may be built for another image size than the one that they were found in."""
    for one in taps:
        kernel = _kernel(network, one)
        assign(kernel, np.where(one.mask[:, :, None, None], 0, kernel.numpy()))


def atrous_rates(taps: Sequence[UntrainedTaps]) -> tuple[int, ...]:
    """Returns the rates of the atrous convolutions among the taps, ascending."""
    return tuple(sorted({max(one.rate) for one in taps if max(one.rate) > 1}))


def _kernel(network, taps):
    return network.parts.layers[taps.layer].kernel
