"""Tiles against whole images."""

import itertools

import fake_data
import numpy as np
import pytest
import small_training
import tensorflow as tf

import deeplab
from deeplab.inference import Predictor
from deeplab.sliding import SlidingWindow, starts

pytestmark = pytest.mark.usefixtures("short_mobilenet")


class PixelByPixel:
    """A predictor whose network has no context: each pixel's colours are its scores."""

    num_classes = 3
    config = deeplab.ModelConfig(output_stride=8)

    def padded_side(self, side, axis):
        return side

    def on_padded(self, images, sizes):
        scores = tf.nn.softmax(tf.cast(images, tf.float32))
        return tf.argmax(scores, -1), scores


@pytest.mark.parametrize("overlap", [0, 7, 15])
def test_without_context_tiles_equal_the_whole_image(overlap):
    image = fake_data.image(50, 71)
    labels = SlidingWindow(PixelByPixel(), (16, 24), overlap)(image)
    np.testing.assert_array_equal(labels, tf.argmax(image, -1))


@pytest.mark.parametrize("stride", [1, 8])
@pytest.mark.parametrize(("side", "tile", "overlap"), [(50, 17, 0), (50, 17, 9), (18, 17, 8), (17, 17, 3), (3, 17, 3)])
def test_tiles_cover_the_side_and_overlap(side, tile, overlap, stride):
    begins = starts(side, tile, overlap, stride)
    assert all(begin % stride == 0 for begin in begins)
    assert begins[-1] < max(1, side - tile + stride)
    assert begins[0] == 0
    assert begins[-1] + tile >= side
    assert all(second <= first + tile - overlap for first, second in itertools.pairwise(begins))


def test_one_tile_that_holds_the_image_is_the_whole_image():
    model, image = deeplab.load(small_training.logdir()).model, small_training.pictures()[2]
    labels = SlidingWindow(Predictor(model), (65, 65), 8)(image)
    assert np.mean(labels == deeplab.predict_labels(model, image[None])[0][0]) > 0.999


def test_an_overlap_as_large_as_a_tile_is_refused():
    with pytest.raises(deeplab.UserError, match="tile_overlap=16: expected 0 to 15"):
        SlidingWindow(PixelByPixel(), (16, 24), 16)
