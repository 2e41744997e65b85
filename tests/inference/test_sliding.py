"""Tiles against whole images."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.config.inference import TilesConfig
from deeplab.inference import tiles
from deeplab.inference.predictor import Predictor
from deeplab.inference.tiles import SlidingWindow, TiledBackbone, starts
from helpers import fake_data, small_training

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


@pytest.mark.slow
def test_one_tile_that_holds_the_image_is_the_whole_image():
    model, image = deeplab.load(small_training.logdir()).model, small_training.pictures()[2]
    labels = SlidingWindow(Predictor(model), (65, 65), 8)(image)
    assert np.mean(labels == deeplab.predict_labels(model, image[None])[0][0]) > 0.999


@pytest.mark.slow
@pytest.mark.parametrize(("scales", "flip"), [((1.0,), False), ((0.5, 1.0), True)])
def test_tiles_that_share_their_context_give_what_the_whole_image_gives(scales, flip):
    config = {"num_classes": 3, "output_stride": 16, "atrous_rates": (6, 12, 18), "decoder_output_stride": (4,)}
    model = deeplab.build_model(deeplab.ModelConfig(model_variant="mobilenet_v2", **config))
    image = fake_data.image(70, 417)
    expected, whole = (result[0].numpy() for result in deeplab.predict_labels(model, image[None], scales, flip))
    window = tiles.window(Predictor(model, None, scales, flip), TilesConfig((288, 384), 256))
    assert isinstance(window, TiledBackbone)
    labels, probabilities = window.with_probabilities(image)  # 128 pixels to the edge: more than the backbone looks at
    np.testing.assert_allclose(probabilities, whole, atol=1e-5)
    assert np.mean(labels == expected) > 0.999
    narrow = tiles.window(Predictor(model, None, scales, flip), TilesConfig((96, 96), 32))
    assert 0 < np.abs(narrow.with_probabilities(image)[1] - whole).max() < 0.2  # now the edges are seen


def test_a_network_that_cannot_be_split_gets_tiles_that_know_nothing_of_each_other():
    model = deeplab.build_model(deeplab.ModelConfig(crop_size=(33, 33)), (33, 33, 3))
    assert isinstance(tiles.window(Predictor(model), TilesConfig((33, 33), 0)), SlidingWindow)
    loose = deeplab.build_model(deeplab.ModelConfig())
    assert isinstance(tiles.window(Predictor(loose), TilesConfig((33, 33), 0, False)), SlidingWindow)


@pytest.mark.parametrize("side", [161, 150, 144, 17])
def test_windows_cover_a_side_at_whole_cells(side):
    tiled = object.__new__(tiles._Tiled)
    tiled._strides, tiled._halo = (16, 4), 32
    windows = tiled._windows(side, 48)
    assert [one.first for one in windows[1:]] == [one.last for one in windows[:-1]]
    assert (windows[0].first, windows[-1].last) == (0, side)
    for one in windows:
        assert one.begin % 16 == one.first % 16 == 0
        assert (one.end - one.begin) % 16 == side % 16
        assert one.begin == max(0, one.first - 32)
        assert one.end >= min(side, one.last + 32)


def test_an_overlap_as_large_as_a_tile_is_refused():
    with pytest.raises(deeplab.UserError, match="tile_overlap=16: expected 0 to 15"):
        SlidingWindow(PixelByPixel(), (16, 24), 16)
