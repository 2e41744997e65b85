"""Sizes and pixel scaling against the original's own numbers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from deeplab.layers.basic import Normalize
from deeplab.layers.resize import (
    resize_antialiased,
    resize_bilinear,
    resize_bilinear_in_strips,
    resize_nearest,
    scale_dimension,
    take_nearest,
)
from deeplab.model.backbones import BACKBONES
from helpers.places import GOLDEN_PIPELINE

GOLDEN = GOLDEN_PIPELINE
SIZES = np.load(GOLDEN / "scale_dimension.npz")
PIXELS = np.load(GOLDEN / "normalization.npz")
FACTS = json.loads((GOLDEN / "normalization.json").read_text("utf-8"))["variants"]


def test_sizes_of_numbers_and_of_tensors():
    for row, size in enumerate(SIZES["dims"]):
        for column, scale in enumerate(SIZES["scales"]):
            assert scale_dimension(int(size), float(scale)) == SIZES["python"][row, column]
            in_graph = scale_dimension(tf.constant(int(size)), float(scale))
            assert int(in_graph) == SIZES["tensor"][row, column]


@pytest.mark.parametrize("variant", BACKBONES)
def test_pixels_enter_every_backbone_as_in_the_original(variant):
    backbone, facts = BACKBONES[variant], FACTS[variant]
    scaled = Normalize(backbone.normalization.scale, backbone.normalization.offset)(PIXELS["image"])
    np.testing.assert_allclose(scaled, PIXELS[facts["kind"]], atol=1e-6 if facts["kind"] == "unit_range" else 1e-5)
    np.testing.assert_allclose(backbone.pad_rgb, facts["pad_pixel"], rtol=1e-6)


SIZES_TO_RESIZE = [
    ((40, 50), (20, 25)),
    ((41, 57), (13, 29)),
    ((30, 20), (61, 33)),
    ((1, 20), (3, 7)),
    ((20, 1), (1, 5)),
]


@pytest.mark.parametrize(("source", "target"), [*SIZES_TO_RESIZE, ((33, 33), (1, 1)), ((8, 9), (8, 9))])
def test_the_antialiasing_kernel_and_its_products_agree(source, target):
    images = np.random.default_rng(0).integers(0, 256, (2, *source, 3)).astype(np.uint8)
    anything = tf.TensorSpec((None, None, None, 3), tf.uint8)
    by_kernel = tf.function(lambda images: resize_antialiased(images, tf.constant(target)), input_signature=[anything])
    np.testing.assert_allclose(by_kernel(images), resize_antialiased(tf.constant(images), target), atol=2e-3)
    if source == target:
        np.testing.assert_array_equal(by_kernel(images), images)
    if min(target) > max(source):
        np.testing.assert_allclose(by_kernel(images), resize_bilinear(tf.constant(images), target), atol=2e-3)


def test_a_pattern_that_is_too_fine_becomes_grey_and_corners_stay():
    checkers = np.indices((64, 64)).sum(axis=0) % 2 * 255.0
    small = resize_antialiased(tf.constant(checkers[None, ..., None], tf.float32), (8, 8))
    assert 100 < np.min(small) < np.max(small) < 155
    ramp = tf.tile(tf.range(101.0)[None, None, :, None], (1, 3, 1, 1))
    np.testing.assert_allclose(resize_antialiased(ramp, (3, 11))[0, 1, 1:-1, 0], np.arange(10, 100, 10), atol=1e-3)


@pytest.mark.parametrize(("source", "target"), SIZES_TO_RESIZE)
def test_taking_rows_and_columns_is_resizing_by_nearest_neighbour(source, target):
    labels = tf.constant(np.random.default_rng(0).integers(0, 9, (2, *source, 1)).astype(np.int32))
    for size in (target, (3 * source[0] + 1, 2 * source[1])):
        np.testing.assert_array_equal(take_nearest(labels, size), resize_nearest(labels, size))


@pytest.mark.parametrize("pixels", [4, 16])
@pytest.mark.parametrize("rows", [1, 2, 3, 6, 18])  # the first ones leave some of the strips empty
def test_strips_together_are_the_resized_tensor_bit_by_bit(rows, pixels):
    x = tf.constant(np.random.default_rng(rows).normal(size=(2, rows, 5, 3)), tf.float32)
    size = ((rows - 1) * pixels + 1, 4 * pixels + 1)
    any_size = tf.TensorSpec((None, None, None, 3))
    in_strips = tf.function(lambda x, size: resize_bilinear_in_strips(x, tf.unstack(size), 4), reduce_retracing=True)
    strips = in_strips.get_concrete_function(any_size, tf.TensorSpec((2,), tf.int32))(x, tf.constant(size))
    assert len(strips) == 4
    np.testing.assert_array_equal(tf.concat(strips, axis=1), resize_bilinear(x, size))
