"""Networks with few blocks, for tests in which the quality of the network does not matter."""

import numpy as np

from deeplab.model import backbones


def shorten_mobilenet(least_stride=1):
    """Replaces mobilenet_v2, in this process, by a network without repeated blocks; returns the original one.

    Tracing layers is most of what a test costs. `least_stride=2` therefore also drops the blocks of stride 1.
    """
    network = backbones.mobilenet.V2
    blocks = (block._replace(repeat=1) for block in network.blocks if block.stride >= least_stride)
    short = network._replace(blocks=tuple(blocks))
    whole = backbones.BACKBONES["mobilenet_v2"]
    backbones.BACKBONES["mobilenet_v2"] = backbones._mobilenet(whole.scope, short)
    return whole


def randomize(model):
    """Draws batch norms and logits of a new network at random, so that its logits differ from pixel to pixel."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        if variable.name in ("beta", "moving_mean"):
            variable.assign(rng.normal(0, 0.3, variable.shape))
    kernel = model.get_layer("logits.semantic").kernel
    kernel.assign(rng.normal(0, 1, kernel.shape))
