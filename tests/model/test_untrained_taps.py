"""Taps that only see padding: exactly those without a gradient; at 0, they leave larger images alone."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.model import untrained_taps, views
from helpers import fake_data
from helpers.short_networks import randomize

pytestmark = pytest.mark.usefixtures("shortest_mobilenet")
CROP = (33, 65)  # 3x5 cells
OPTIONS = {"num_classes": 3, "output_stride": 16, "depth_multiplier": 0.25, "aspp_convs_filters": 8}
NETWORKS = {
    "separable": {"atrous_rates": (1, 2, 3, 6)},
    "plain": {"atrous_rates": (2, 4), "aspp_with_separable_conv": False},
    "deeplab_v2": {"atrous_rates": (2, 4), "aspp_with_batch_norm": False, "logits_kernel_size": 3},
    "pyramid": {"atrous_rates": (1, 2, 3), "image_pyramid": (1.0, 0.5)},
}


def build(name, size=CROP):
    model = deeplab.build_model(deeplab.ModelConfig(crop_size=size, **OPTIONS, **NETWORKS[name]), (*size, 3))
    randomize(model)
    return model


def crops(size=CROP):
    return tf.constant(np.stack([fake_data.image(*size, seed) for seed in range(4)]), tf.float32)


@pytest.mark.parametrize("name", NETWORKS)
def test_they_are_the_taps_without_a_gradient(name):
    network = build(name)
    masks = {taps.layer: taps.mask for taps in untrained_taps.find(network)}
    layers = {layer.name: layer for layer, _shape in network.parts.convolutions if max(layer.rate) > 1}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(crops(), training=True) ** 2)
    gradients = tape.gradient(loss, [layer.kernel for layer in layers.values()])
    for name, gradient in zip(layers, gradients, strict=True):
        silent = np.all(np.asarray(gradient) == 0, axis=(2, 3))
        np.testing.assert_array_equal(silent, masks.get(name, np.zeros_like(silent)), err_msg=name)
    assert masks


def test_rates_and_whole_kernels():
    found = {taps.layer.split(".")[0]: taps for taps in untrained_taps.find(build("separable"))}
    assert untrained_taps.atrous_rates(list(found.values())) == (3, 6)
    assert [int(taps.mask.sum()) for taps in found.values()] == [6, 8]  # rate 3 sees 5 cells in a row
    assert not untrained_taps.find(build("separable", (129, 129)))


def test_at_0_they_change_nothing_but_larger_images():
    network = build("separable")
    whole, taps = views.any_size(network), untrained_taps.find(network)
    before, large_before = network(crops()).numpy(), whole(crops((129, 129))).numpy()
    assert untrained_taps.not_zero(whole, taps) == taps
    untrained_taps.set_to_zero(whole, taps)
    assert not untrained_taps.not_zero(network, taps)
    np.testing.assert_allclose(network(crops()), before, rtol=1e-5, atol=1e-5)
    assert np.abs(whole(crops((129, 129))) - large_before).max() > 0.01
