"""Every backbone by its name. A new backbone is a table in a file of its own and a row here."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from deeplab.model.backbones import mobilenet, nas, resnet, xception
from deeplab.model.blocks import Style

GRAY = (127.5, 127.5, 127.5)  # becomes 0 by `UNIT_RANGE`
IMAGENET_MEAN = (123.15, 115.90, 103.06)


class Normalization(NamedTuple):
    """How pixels 0..255 enter the backbone: x * scale - offset."""

    scale: float
    offset: tuple


UNIT_RANGE = Normalization(2.0 / 255.0, (1.0, 1.0, 1.0))
MEAN_SUBTRACTION = Normalization(1.0, IMAGENET_MEAN)


class Backbone(NamedTuple):
    """A backbone: `build(blocks, images, config) -> (features, {stride: features for the decoder})`."""

    scope: str  # of its variables in the reference
    build: Callable
    style: Style
    normalization: Normalization = UNIT_RANGE
    pad_rgb: tuple = GRAY  # the pixel that images are padded with

    def normalization_of(self, num_channels):
        """Returns the `Normalization` of images with so many channels; offsets that differ are 0 for further ones."""
        scale, offset = self.normalization
        return Normalization(scale, of_channels(offset, num_channels))

    def pad_pixel(self, num_channels):
        """Returns the pixel that images with so many channels are padded with, a tuple of values in [0, 255]."""
        return of_channels(self.pad_rgb, num_channels)


def of_channels(rgb, num_channels):
    """Returns the values of RGB for images with another number of channels.

    Equal values hold for every channel. Where they differ, as in the mean colour of ImageNet, they are 0 for channels
    behind RGB, as in the reference (core/feature_extractor.py); one or two channels, which the reference does not take,
    have the mean of the three.
    """
    if len(set(rgb)) == 1:
        return rgb[:1] * num_channels
    if num_channels < len(rgb):
        return (sum(rgb) / len(rgb),) * num_channels
    return (*rgb, *(0.0,) * (num_channels - len(rgb)))


def _xception(variant):
    return Backbone(variant, partial(xception.build, xception.VARIANTS[variant]), xception.STYLE)


def _resnet(variant, normalization=UNIT_RANGE, pad_rgb=GRAY):
    build = partial(resnet.build, resnet.VARIANTS[variant])
    return Backbone(variant.removesuffix("_beta"), build, resnet.STYLE, normalization, pad_rgb)


def _mobilenet(scope, network):
    return Backbone(scope, partial(mobilenet.build, network), mobilenet.STYLE)


BACKBONES = {
    "xception_41": _xception("xception_41"),
    "xception_65": _xception("xception_65"),
    "xception_71": _xception("xception_71"),
    "resnet_v1_18": _resnet("resnet_v1_18", MEAN_SUBTRACTION, GRAY),  # the reference pads it with gray all the same
    "resnet_v1_18_beta": _resnet("resnet_v1_18_beta"),
    "resnet_v1_50": _resnet("resnet_v1_50", MEAN_SUBTRACTION, IMAGENET_MEAN),
    "resnet_v1_50_beta": _resnet("resnet_v1_50_beta"),
    "resnet_v1_101": _resnet("resnet_v1_101", MEAN_SUBTRACTION, IMAGENET_MEAN),
    "resnet_v1_101_beta": _resnet("resnet_v1_101_beta"),
    "mobilenet_v2": _mobilenet("MobilenetV2", mobilenet.V2),
    "mobilenet_v3_large_seg": _mobilenet("MobilenetV3", mobilenet.V3_LARGE),
    "mobilenet_v3_small_seg": _mobilenet("MobilenetV3", mobilenet.V3_SMALL),
    "mobilenet_edgetpu": _mobilenet("MobilenetEdgeTPU", mobilenet.EDGETPU),
    "nas_pnasnet": Backbone("pnasnet", partial(nas.build, nas.PNASNET), nas.STYLE),
    "nas_hnasnet": Backbone("hnasnet", partial(nas.build, nas.HNASNET), nas.STYLE),
}
