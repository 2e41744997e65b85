"""Networks with few blocks, for tests in which the quality of the network does not matter."""

from functools import partial

import numpy as np

import deeplab
from deeplab.model import backbones
from deeplab.model.backbones import mobilenet, nas, resnet, xception


def shorten_mobilenet(least_stride=1):
    """Replaces mobilenet_v2, in this process, by a network without repeated blocks; returns the original one.

    Tracing layers is most of what a test costs. `least_stride=2` therefore also drops the blocks of stride 1.
    """
    whole = backbones.BACKBONES["mobilenet_v2"]
    backbones.BACKBONES["mobilenet_v2"] = shortened(whole, least_stride)
    return whole


def shortened(backbone, least_stride=1):
    """Returns a `Backbone` of the same kind without repeated blocks.

    A ResNet keeps two units of each block, a NAS network few cells with two pairs of operations.

    `least_stride` is for MobileNets, and the least stride of a block that is kept.
    """
    build, network = backbone.build.func, backbone.build.args[0]
    if build is xception.build:
        network = tuple(row._replace(repeat=1) for row in network)
    elif build is mobilenet.build:
        rows = (row._replace(repeat=1) for row in network.blocks if row.stride >= least_stride)
        network = network._replace(blocks=tuple(rows))
    elif build is resnet.build:  # a block ends with its stride, and the decoder reads the unit before
        rows = (row._replace(units=2, tap=row.tap and (row.tap[0], 1)) for row in network.blocks)
        network = network._replace(blocks=tuple(rows))
    elif build is nas.build:
        first, *_, last = (pair for pair in network.combinations if all(operation.state < 2 for operation in pair))
        levels, taps = {16: (1, 2, 2)}, {4: -1, 8: 0, 16: 1}
        if 16 not in network.levels:
            levels, taps = {8: (0, 1, 2, 3, 2, 1)}, {4: 0, 8: 1, 16: 2}
        network = network._replace(combinations=(first, last), levels=levels, taps=taps)
    return backbone._replace(build=partial(build, network))


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


def _distinct():
    """Returns the names of `BACKBONES` whose short networks differ: ResNet-50 and 101 differ in repeated units only."""
    names = {}
    for name, backbone in backbones.BACKBONES.items():
        build = shortened(backbone).build
        names.setdefault(repr((build, backbone.normalization)), name)
    return tuple(names.values())


DISTINCT = _distinct()


def build(variant):
    """Builds a short network with all rates and, where it may have one, a decoder. Its logits differ between pixels.

    Stays in `BACKBONES`: whoever builds again from the same layers, as folding does, needs the same table.
    """
    backbones.BACKBONES[variant] = shortened(backbones.BACKBONES[variant])
    options = {"depth_multiplier": 0.25} if variant.startswith("mobilenet") else {}
    if variant.startswith("nas"):
        options = {"nas_stem_output_num_conv_filters": 8}
    if variant != "mobilenet_edgetpu":
        options["decoder_output_stride"] = (4,)
    stride = 16 if variant == "nas_pnasnet" else 8  # with rates 2 and 4 in the backbone
    config = deeplab.ModelConfig(
        model_variant=variant, num_classes=3, output_stride=stride, atrous_rates=(6,), **options
    )
    model = deeplab.build_model(config)
    randomize(model)
    return model
