"""The steps of the input pipeline against the reference's own results."""

import numpy as np
import pytest

from deeplab.config.data import AugmentConfig, ResizeConfig
from deeplab.data import augment
from helpers.pipeline_goldens import load

PAD_RGB = {variant: facts["pad_pixel"] for variant, facts in load("normalization")[0]["variants"].items()}
FLOAT32 = 2e-5  # absolute, of values up to 255: the last bits of the interpolation


@pytest.mark.parametrize("case", load("resize")[0]["cases"], ids=lambda case: str(case["index"]))
def test_resize_aligns_corners(case):
    arrays, i = load("resize")[1], case["index"]
    for pixels, labels, image, label in zip(
        *(arrays[f"{kind}_{i}"] for kind in ("bilinear_in", "nearest_in", "bilinear_out", "nearest_out")), strict=True
    ):
        resized, resized_label = augment.resize_pair(pixels, labels, case["output"])
        np.testing.assert_allclose(resized, image, atol=FLOAT32)
        np.testing.assert_array_equal(resized_label, label)


@pytest.mark.parametrize("case", load("resize_to_range")[0]["cases"], ids=lambda case: str(case["index"]))
def test_resize_to_range(case):
    arrays, i = load("resize_to_range")[1], case["index"]
    resize = ResizeConfig(case["min_size"], case["max_size"], case["factor"])
    size = augment.range_size(*case["input"], resize, case["keep_aspect_ratio"])
    assert [int(side) for side in size] == case["output"]
    image, label = augment.resize_pair(arrays[f"image_{i}"], arrays[f"label_{i}"], size)
    np.testing.assert_allclose(image, arrays[f"out_image_{i}"], atol=FLOAT32)
    np.testing.assert_array_equal(label, arrays[f"out_label_{i}"])


@pytest.mark.parametrize("case", load("eval_preprocessing")[0]["cases"], ids=lambda case: str(case["index"]))
def test_eval_preprocessing(case):
    arrays, i = load("eval_preprocessing")[1], case["index"]
    resize = ResizeConfig(case["min_resize_value"], case["max_resize_value"], case["resize_factor"])
    original, image, label = augment.eval_pair(
        arrays[f"image_{i}"], arrays[f"label_{i}"], resize, case["crop_size"],
        PAD_RGB[case["model_variant"] or "none"], case["ignore_label"],
    )  # fmt: skip
    np.testing.assert_allclose(original, arrays[f"original_{i}"], atol=FLOAT32)
    np.testing.assert_allclose(image, arrays[f"processed_{i}"], atol=FLOAT32)
    np.testing.assert_array_equal(label, arrays[f"processed_label_{i}"])


def test_random_scales_are_the_references():
    for spec, expected in load("augmentation")[0]["random_scales"].items():
        low, high, step = map(float, spec.split(":"))
        np.testing.assert_array_equal(augment.scale_choices(AugmentConfig(
            min_scale_factor=low, max_scale_factor=high, scale_factor_step_size=step
        )), np.array(expected, np.float32))  # fmt: skip
    assert augment.scale_choices(AugmentConfig(scale_factor_step_size=0)) is None


def test_few_scales():
    for high, expected in ((0.75, [0.5, 0.75]), (0.6, [0.5])):
        config = AugmentConfig(min_scale_factor=0.5, max_scale_factor=high, scale_factor_step_size=0.25)
        found = augment.scale_choices(config)
        np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_the_longest_side_allowed_is_allowed():
    assert [int(side) for side in augment.range_size(100, 151, ResizeConfig(50, 75))] == [50, 75]
    assert [int(side) for side in augment.range_size(100, 151, ResizeConfig(50, 74))] == [49, 74]


def test_a_pixel_remains_of_every_image():
    assert [int(side) for side in augment.scaled_size(3, 5, 0.1)] == [1, 1]


def test_every_scale_is_drawn_and_no_other():
    stepped = AugmentConfig(min_scale_factor=0.5, max_scale_factor=1.0, scale_factor_step_size=0.25)
    assert {float(augment.random_scale(stepped, (3, i))) for i in range(40)} == {0.5, 0.75, 1.0}
    free = AugmentConfig(min_scale_factor=0.5, max_scale_factor=1.0, scale_factor_step_size=0)
    drawn = [float(augment.random_scale(free, (3, i))) for i in range(40)]
    assert len(set(drawn)) == 40
    assert 0.5 <= min(drawn) < 0.55 < 0.95 < max(drawn) < 1.0


@pytest.mark.parametrize("scale", load("augmentation")[0]["scaled"])
def test_scaling_by_a_fixed_factor(scale):
    arrays = load("augmentation")[1]
    image, label = augment.scale_pair(arrays["image"], arrays["label"], scale)
    np.testing.assert_allclose(image, arrays[f"scaled_image_{scale:g}"], atol=FLOAT32)
    np.testing.assert_array_equal(label, arrays[f"scaled_label_{scale:g}"])


@pytest.mark.parametrize("case", load("augmentation")[0]["train"], ids=lambda case: str(case["index"]))
def test_scale_and_pad_of_a_training_image(case):
    arrays, i = load("augmentation")[1], case["index"]
    image, label = augment.scale_pair(arrays["image"], arrays["label"], case["scale"])
    image, label = augment.pad(image, label, case["crop_size"], PAD_RGB[case["model_variant"]], 255)
    np.testing.assert_allclose(image, arrays[f"train_image_{i}"], atol=FLOAT32)
    np.testing.assert_array_equal(label, arrays[f"train_label_{i}"])


def test_random_offsets_stay_inside():
    tops = {int(augment.random_offsets(7, 5, (5, 9), (3, i))[0]) for i in range(40)}
    lefts = {int(augment.random_offsets(7, 5, (5, 9), (3, i))[1]) for i in range(40)}
    assert tops == {0, 1, 2}
    assert lefts == {0}
    corners = [tuple(map(int, augment.random_offsets(9, 9, (5, 5), (3, i)))) for i in range(40)]
    assert len({top - left for top, left in corners}) > 3  # drawn apart
