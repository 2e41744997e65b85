"""Prediction against the original's arrays, and what must hold for every image."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.inference.predictor import Predictor
from deeplab.model.backbones import BACKBONES
from helpers import fake_data, golden_cases, small_training
from helpers.short_networks import randomize, shortened

MULTI_SCALE = [name for name in golden_cases.NAMES if golden_cases.load(name)[0].get("eval_scales")]


def model_of(case, **changes):
    model = deeplab.build_model(golden_cases.config_of(case, **changes))
    deeplab.restore(model, golden_cases.source_of(case))
    return model


def network():
    return deeplab.load(small_training.logdir()).model


@pytest.mark.slow
@pytest.mark.parametrize("crop_size", ["the original's", None])
@pytest.mark.parametrize("name", MULTI_SCALE[:1])
def test_one_scale_is_the_originals(name, crop_size):
    case, arrays = golden_cases.load(name)
    model = model_of(case) if crop_size else model_of(case, crop_size=None)
    labels, probabilities = deeplab.predict_labels(model, arrays["images"])
    assert labels.dtype == tf.int32
    assert np.mean(labels == arrays["predictions"]) > 0.9999
    np.testing.assert_allclose(probabilities[:, ::4, ::4], arrays["probabilities_s4"], atol=1e-4)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_one_scale_is_the_mean_of_it_and_itself(scale, flips):
    """A single scale other than 1 counts, with and without flips: the mean of two equal passes is that pass."""
    model, image = network(), small_training.pictures()[2][None]
    labels, probabilities = deeplab.predict_labels(model, image, (scale,), flips)
    twice, mean = deeplab.predict_labels(model, image, (scale, scale), flips)
    np.testing.assert_allclose(probabilities, mean, atol=1e-5)
    assert np.mean(labels == twice) > 0.999
    if scale != 1.0:
        assert np.abs(probabilities - deeplab.predict_labels(model, image, (1.0,), flips)[1]).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("scales", [(1.0,), (0.75,), (0.5, 1.0, 1.5)])
def test_labels_of_the_mirrored_image_are_mirrored(scales):
    """At every width: the image is flipped, and not its padding."""
    model = network()
    for height, width in ((65, 65), (48, 64), (33, 50), (40, 35), (37, 115), (7, 5)):
        image = fake_data.image(height, width, seed=2)[None]
        labels, _ = deeplab.predict_labels(model, image, scales, add_flipped_images=True)
        mirrored, _ = deeplab.predict_labels(model, image[:, :, ::-1], scales, add_flipped_images=True)
        assert np.mean(labels[:, :, ::-1] == mirrored) > 0.999


@pytest.mark.slow
def test_a_crop_size_is_flipped_as_a_whole():
    """As in the reference, which flips what it has padded to the crop size."""
    model, (height, width) = network(), (40, 35)
    image = fake_data.image(height, width, seed=2)
    padded = np.full((1, 65, 81, 3), 127.5, np.float32)
    padded[0, :height, :width] = image
    expected = deeplab.predict_labels(model, padded, (1.0,), True)[1][:, :height, :width]
    found = Predictor(model, (65, 81), (1.0,), True)(tf.constant(image[None]))[1]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - deeplab.predict_labels(model, image[None], (1.0,), True)[1]).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("crop_size", ["the original's", None])
def test_a_golden_network_sees_one_scale_as_the_mean_of_it_and_itself(crop_size):
    case, arrays = golden_cases.load("mobilenet_v2_os16")
    model = model_of(case) if crop_size else model_of(case, crop_size=None)
    images = tf.constant(arrays["images"][:1])
    for scale in (0.5, 0.75, 1.0, 1.25, 1.75):
        once = [Predictor(model, None, (scale,) * count)(images)[1] for count in (1, 2)]
        np.testing.assert_allclose(*once, atol=1e-5)
        flipped = Predictor(model, None, (scale,), True)(images)[1]
        mirrored = Predictor(model, None, (scale,))(images[:, :, ::-1])[1]  # the golden images lie on the grid
        np.testing.assert_allclose(flipped, (once[0] + mirrored[:, :, ::-1]) / 2, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mobilenet_v3_small_seg", "mobilenet_edgetpu", "resnet_v1_18", "xception_41"])
def test_every_family_sees_one_scale_as_the_mean_of_it_and_itself(variant, quick_tracing):
    model = deeplab.build_model(deeplab.ModelConfig(model_variant=variant, output_stride=16, num_classes=5))
    randomize(model)
    images = tf.constant(fake_data.image(40, 52)[None])
    kernel = model.get_layer("logits.semantic").kernel
    kernel.assign(kernel / np.std(model(images)))  # every class has a chance
    for scale, crop_size, flips in ((0.5, None, False), (1.5, (65, 65), True)):
        once = Predictor(model, crop_size, (scale,), flips)(images)[1]
        twice = Predictor(model, crop_size, (scale, scale), flips)(images)[1]
        np.testing.assert_allclose(once, twice, atol=1e-5)
        assert np.abs(once - Predictor(model, crop_size, (1.0,), flips)(images)[1]).max() > 1e-3


def test_an_image_is_padded_at_the_bottom_and_right_to_a_size_that_suits_the_network():
    model, image = network(), small_training.pictures()[0]
    padded = np.full((1, 49, 65, 3), 127.5, np.float32)  # 16 * 3 + 1, 16 * 4 + 1
    padded[0, :48, :64] = image
    expected = Predictor(model)(tf.constant(padded))[0][:, :48, :64]
    np.testing.assert_array_equal(deeplab.predict_labels(model, image[None])[0], expected)


def test_a_crop_size_pads_more_and_batches_of_padded_images_give_the_same():
    image = small_training.pictures()[1]
    predictor = Predictor(network(), crop_size=(65, 65))
    labels, probabilities = predictor(tf.constant(image[None]))
    assert labels.shape == (1, 40, 33)
    garbage = np.full((2, 65, 65, 3), 99, np.uint8)  # what lies beyond the image does not matter
    garbage[0, :40, :33] = image
    batch_labels, batch_probabilities = predictor.on_padded(tf.constant(garbage), tf.constant([[40, 33], [0, 0]]))
    np.testing.assert_array_equal(batch_labels[:1, :40, :33], labels)
    # Batches of another size are summed in another order, and logits span hundreds: 2e-4 on a processor without AVX512.
    np.testing.assert_allclose(batch_probabilities[:1, :40, :33], probabilities, atol=1e-3)


def test_an_image_smaller_than_a_pooling_window_is_padded_to_it(monkeypatch):
    monkeypatch.setitem(BACKBONES, "mobilenet_v2", shortened(BACKBONES["mobilenet_v2"], 2))
    config = deeplab.ModelConfig(
        num_classes=3, output_stride=16, depth_multiplier=0.25, image_pooling_crop_size=(65, 49),
        image_pooling_stride=(4, 4),
    )  # fmt: skip
    model = deeplab.build_model(config)
    randomize(model)
    image = fake_data.image(20, 60)[None]
    whole = np.full((1, 65, 65, 3), 127.5, np.float32)
    whole[:, :20, :60] = image
    labels, _ = deeplab.predict_labels(model, image)
    np.testing.assert_array_equal(labels, deeplab.predict_labels(model, whole)[0][:, :20, :60])
    with pytest.raises(deeplab.UserError, match=r"image_pooling_crop_size=\(65, 49\): .* images have, \(33, 65\)"):
        deeplab.build_model(config, (33, 65, 3))


def test_labels_can_be_decided_before_upsampling():
    case, arrays = golden_cases.load("mobilenet_v2_os16")
    model = model_of(case, prediction_with_upsampled_logits=False)
    labels, _ = deeplab.predict_labels(model, arrays["images"])
    low = tf.argmax(model(arrays["images"]), -1)[..., None]
    expected = tf.compat.v1.image.resize_nearest_neighbor(low, arrays["images"].shape[1:3], align_corners=True)
    np.testing.assert_array_equal(labels, expected[..., 0])


@pytest.mark.slow
def test_one_trace_serves_every_size_and_type():
    model = network()
    for image in small_training.pictures():
        small, _ = deeplab.predict_labels(model, image[None])
        floats, _ = deeplab.predict_labels(model, image[None].astype(np.float32))
        np.testing.assert_array_equal(small, floats)


def test_what_does_not_fit_is_refused():
    with pytest.raises(deeplab.UserError, match=r"images has shape \(4, 4, 3\)"):
        deeplab.predict_labels(network(), np.zeros((4, 4, 3), np.uint8))
    fixed = deeplab.build_model(deeplab.ModelConfig(depth_multiplier=0.25, output_stride=16, crop_size=(33, 33)))
    with pytest.raises(deeplab.UserError, match=r"40x33 pixels.*crop_size=33,33"):
        deeplab.predict_labels(fixed, small_training.pictures()[1][None])
