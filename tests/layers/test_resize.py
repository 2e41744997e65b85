"""Sizes and pixel scaling against the original's own numbers."""

import json

import numpy as np
import pytest
import tensorflow as tf

from deeplab.layers.basic import Normalize
from deeplab.layers.resize import scale_dimension
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
