"""Costs that were published, and the networks that they belong to.

The paper's tables count as TensorFlow 1's profiler does (see `count_multiply_adds(space_to_batch=True)`), at 513x513
with 21 classes; its ResNet-101 has the beta stem and the multi grid 1, 2, 4.
"""

import dataclasses
from typing import Any, NamedTuple

from deeplab.config.model import ModelConfig
from deeplab.config.presets import MODELS

SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_PLAIN: dict[str, Any] = {"aspp_with_separable_conv": False, "decoder_use_separable_conv": False}
_XCEPTION = ModelConfig(model_variant="xception_65")
_PLAIN_XCEPTION = dataclasses.replace(_XCEPTION, **_PLAIN)
_RESNET = ModelConfig(model_variant="resnet_v1_101_beta", multi_grid=(1, 2, 4), **_PLAIN)
_EDGETPU_SIZE = (513, 513)  # not stated; at the size of the other Cityscapes models they would cost 8 times as much


class Cost(NamedTuple):
    """One published figure."""

    name: str
    billions: float  # multiply-adds
    config: ModelConfig
    size: tuple = (513, 513)  # (height, width)
    eval_scales: tuple = (1.0,)
    add_flipped_images: bool = False

    @property
    def how(self):
        """The arguments of `count_multiply_adds` besides the configuration."""
        flips = self.add_flipped_images
        return {"input_shape": (*self.size, 3), "eval_scales": self.eval_scales, "add_flipped_images": flips}


def _row(name, billions, config, output_stride, decoder=False, scales=(1.0,), flips=False):
    strides = (4,) if decoder else None
    config = dataclasses.replace(config, output_stride=output_stride, decoder_output_stride=strides)
    return Cost(name, billions, config, eval_scales=scales, add_flipped_images=flips)


PAPER = (  # DeepLabv3+ paper, tables 3 and 5
    _row("xception_65, plain", 68.00, _PLAIN_XCEPTION, 16),
    _row("xception_65, plain", 240.85, _PLAIN_XCEPTION, 8),
    _row("xception_65, plain, decoder", 89.76, _PLAIN_XCEPTION, 16, decoder=True),
    _row("xception_65, plain, decoder", 262.59, _PLAIN_XCEPTION, 8, decoder=True),
    _row("xception_65, decoder", 54.17, _XCEPTION, 16, decoder=True),
    _row("xception_65, decoder", 177.10, _XCEPTION, 8, decoder=True),
    _row("xception_65, plain", 601.74, _PLAIN_XCEPTION, 16, scales=SIX_SCALES),
    _row("xception_65, plain", 1203.34, _PLAIN_XCEPTION, 16, scales=SIX_SCALES, flips=True),
    _row("xception_65, decoder", 928.81, _XCEPTION, 16, decoder=True, scales=SIX_SCALES, flips=True),
    _row("xception_65, decoder", 3055.35, _XCEPTION, 8, decoder=True, scales=SIX_SCALES, flips=True),
    _row("resnet_101, plain", 81.02, _RESNET, 16),
    _row("resnet_101, plain", 276.18, _RESNET, 8),
    _row("resnet_101, plain", 52.43, _RESNET, 32),
    _row("resnet_101, plain, decoder", 101.28, _RESNET, 16, decoder=True),
    _row("resnet_101, plain, decoder", 297.92, _RESNET, 8, decoder=True),
    _row("resnet_101, plain, decoder", 74.20, _RESNET, 32, decoder=True),
    _row("resnet_101, plain, decoder", 898.69, _RESNET, 16, decoder=True, scales=SIX_SCALES),
)


def model_zoo():
    """Returns the published costs of the models in `deeplab.MODELS`."""
    rows = []
    for name, preset in MODELS.items():
        for one in preset.evaluations:
            if one.multiply_adds is not None:
                config = dataclasses.replace(preset.config, output_stride=one.output_stride)
                size = _EDGETPU_SIZE if config.model_variant == "mobilenet_edgetpu" else preset.crop_size
                how = (size, one.eval_scales, one.add_flipped_images)
                rows.append(Cost(name, one.multiply_adds, config, *how))
    return tuple(rows)
