"""Folded networks against the networks that they were made of."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.exporting import folding
from deeplab.layers.basic import Activation, Conv, DepthwiseConv, SeparableConv
from deeplab.layers.batch_norm import BatchNorm
from deeplab.layers.folded import dilated_ops
from helpers import short_networks

CONVOLUTIONS = {
    "plain": lambda: Conv(5, 3, stride=2, padding="explicit", name="c"),
    "atrous": lambda: Conv(5, 3, rate=2, name="c"),
    "depthwise": lambda: DepthwiseConv(3, stride=2, name="c"),
    "atrous depthwise": lambda: DepthwiseConv(3, rate=3, name="c"),
    "separable": lambda: SeparableConv(5, 3, name="c"),
}


@pytest.mark.parametrize("activation", [None, "relu", "hard_swish"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_one_layer_is_convolution_batch_norm_and_activation(kind, activation):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(0, 1, (2, 14, 11, 4)), tf.float32)
    convolution, norm = CONVOLUTIONS[kind](), BatchNorm(1e-3, 0.9)
    norm(convolution(x))
    for weight in norm.weights[:4]:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    expected = norm(convolution(x))
    expected = expected if activation is None else Activation(activation)(expected)
    np.testing.assert_allclose(folding._folded(convolution, norm, activation)(x), expected, atol=1e-5)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_one_layer_in_float16(kind):
    x = tf.constant(np.random.default_rng(0).normal(0, 1, (2, 14, 11, 4)), tf.float32)
    convolution, norm = CONVOLUTIONS[kind](), BatchNorm(1e-3, 0.9)
    expected = norm(convolution(x))
    with folding.policy("float16"):
        folded = folding._folded(convolution, norm)
    result = folded(tf.cast(x, tf.float16))
    assert result.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(result, tf.float32), expected, atol=0.01)


@pytest.mark.parametrize("rate", [1, 3])
def test_only_graphs_for_other_engines_have_dilated_ops(rate):
    x = tf.zeros((1, 14, 11, 4))
    convolution = DepthwiseConv(3, rate=rate)
    convolution(x)
    folded = folding._folded(convolution, None)

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
    norms = {layer.name for layer in network.layers if isinstance(layer, BatchNorm)}
    activations = sum(network.parts.activations[name] is not None for name in norms)
    kinds = [sum(isinstance(layer, Activation) for layer in model.layers) for model in (network, folded)]
    assert kinds[0] - kinds[1] == activations  # the convolutions have taken these over
    assert sum(int(np.prod(weight.shape)) for weight in folded.weights) < network.count_params()
    image = np.random.default_rng(1).uniform(0, 255, (1, 49, 65, 3)).astype(np.float32)
    expected = network(image).numpy()
    np.testing.assert_allclose(folded(image), expected, atol=worst * np.ptp(expected))
