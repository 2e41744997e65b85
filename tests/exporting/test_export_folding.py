"""Folded networks against the networks that they were made of."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.exporting import folding
from deeplab.layers.basic import Conv, DepthwiseConv, SeparableConv
from deeplab.layers.batch_norm import BatchNorm
from deeplab.layers.folded import Folded, dilated_ops
from deeplab.model import backbones
from helpers import short_networks

CONVOLUTIONS = {
    "plain": lambda: Conv(5, 3, stride=2, padding="explicit", name="c"),
    "atrous": lambda: Conv(5, 3, rate=2, name="c"),
    "depthwise": lambda: DepthwiseConv(3, stride=2, name="c"),
    "atrous depthwise": lambda: DepthwiseConv(3, rate=3, name="c"),
    "separable": lambda: SeparableConv(5, 3, name="c"),
}


def fold_layer(layer, norm=None):
    """Returns one layer in place of a convolution and the batch norm after it."""
    return folding._folded(layer, *folding._scale_and_shift(layer, norm), norm)


@pytest.mark.parametrize("activation", [None, "relu", "hard_swish"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_one_layer_is_convolution_batch_norm_and_activation(kind, activation):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(0, 1, (2, 14, 11, 4)), tf.float32)
    convolution, norm = CONVOLUTIONS[kind](), BatchNorm(1e-3, 0.9, activation=activation)
    norm(convolution(x))
    for weight in norm.weights[:4]:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    np.testing.assert_allclose(fold_layer(convolution, norm)(x), norm(convolution(x)), atol=1e-5)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_one_layer_in_float16(kind):
    x = tf.constant(np.random.default_rng(0).normal(0, 1, (2, 14, 11, 4)), tf.float32)
    convolution, norm = CONVOLUTIONS[kind](), BatchNorm(1e-3, 0.9)
    expected = norm(convolution(x))
    with folding.policy("float16"):
        folded = fold_layer(convolution, norm)
    result = folded(tf.cast(x, tf.float16))
    assert result.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(result, tf.float32), expected, atol=0.01)


@pytest.mark.parametrize("rate", [1, 3])
def test_only_graphs_for_other_engines_have_dilated_ops(rate):
    x = tf.zeros((1, 14, 11, 4))
    convolution = DepthwiseConv(3, rate=rate)
    convolution(x)
    folded = fold_layer(convolution)

    def rates():
        graph = tf.function(folded.call, autograph=False).get_concrete_function(x).graph
        found = [one for one in graph.get_operations() if one.type == "DepthwiseConv2dNative"]
        return [one.get_attr("dilations") for one in found]

    assert rates() == [[1, 1, 1, 1]]
    with dilated_ops():
        assert rates() == [[1, rate, rate, 1]]


@pytest.fixture(scope="module")
def network(short_mobilenet):
    """A network with everything that a head may have, its batch norms settled nowhere in particular."""
    config = deeplab.ModelConfig(
        num_classes=3, depth_multiplier=0.25, output_stride=8, atrous_rates=(2, 12), decoder_output_stride=(4,)
    )
    model = deeplab.build_model(config)
    short_networks.randomize(model)
    return model


@pytest.mark.parametrize(("precision", "worst"), [("float32", 1e-4), ("bfloat16", 0.05), ("float16", 0.01)])
def test_a_folded_network_gives_the_same_logits(network, precision, worst):
    folded = folding.fold(network, precision)
    assert not [layer for layer in folded.layers if isinstance(layer, BatchNorm)]
    assert sum(int(np.prod(weight.shape)) for weight in folded.weights) < network.count_params()
    image = np.random.default_rng(1).uniform(0, 255, (1, 49, 65, 3)).astype(np.float32)
    expected = network(image).numpy()
    np.testing.assert_allclose(folded(image), expected, atol=worst * np.ptp(expected))


def test_biases_move_into_the_pointwise_convolutions_of_xception(monkeypatch):
    short = short_networks.shortened(backbones.BACKBONES["xception_65"])
    monkeypatch.setitem(backbones.BACKBONES, "xception_65", short)
    model = deeplab.build_model(deeplab.ModelConfig(model_variant="xception_65", num_classes=3, output_stride=16))
    short_networks.randomize(model)
    folded = folding.fold(model)
    depthwise = [layer for layer in folded.layers if isinstance(layer, Folded) and layer.plain is None]
    without = [layer.name for layer in depthwise if layer.bias is None]
    assert len(without) == 3 * 5  # of entry flow, middle flow and the first block of the exit flow, each once
    assert len(depthwise) > len(without)  # those that an activation follows keep their bias
    image = np.random.default_rng(1).uniform(0, 255, (1, 49, 65, 3)).astype(np.float32)
    expected = model(image).numpy()
    np.testing.assert_allclose(folded(image), expected, atol=1e-4 * np.ptp(expected))
