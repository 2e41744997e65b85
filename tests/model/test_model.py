"""Networks as a whole: every configuration builds, sizes are right, and atrous means the same at any stride."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from deeplab import ModelConfig, UserError, build_model
from deeplab.config.model import MODEL_VARIANTS, NAS
from deeplab.layers.resize import scale_dimension
from deeplab.model.backbones import BACKBONES
from deeplab.model.blocks import Blocks, Parts
from deeplab.model.cost import count_parameters
from deeplab.model.names import is_bookkeeping, reference_name
from deeplab.model.network import config_of
from deeplab.model.views import at_scale, scale_outputs
from helpers.speed import slow_except

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 65, 97, 3)).astype(np.uint8)
# Not promised: squeeze and excitation (v3) averages over cells, and NAS networks change with the stride.
CONSISTENT = ("xception_41", "resnet_v1_18", "resnet_v1_50_beta", "mobilenet_v2", "mobilenet_edgetpu")
INCONSISTENT = [variant for variant in MODEL_VARIANTS if variant not in CONSISTENT]
BACKBONE_PARAMETERS = {  # as the reference counts them
    "mobilenet_v2": 1_811_712,
    "mobilenet_v3_large_seg": 1_379_184,
    "mobilenet_v3_small_seg": 390_576,
    "mobilenet_edgetpu": 2_810_432,
    "resnet_v1_18": 11_176_512,
    "resnet_v1_18_beta": 11_158_192,
    "resnet_v1_50": 23_508_032,
    "resnet_v1_50_beta": 23_631_808,
    "resnet_v1_101": 42_500_160,
    "resnet_v1_101_beta": 42_623_936,
    "xception_41": 24_920_560,
    "xception_65": 37_867_312,
    "xception_71": 40_289_736,
    "nas_pnasnet": 660_112,
    "nas_hnasnet": 7_030_832,
}
MODEL_PARAMETERS = [
    ({}, 2_113_557),
    ({"decoder_output_stride": (4,), "num_classes": 151}, 2_304_519),
    ({"depth_multiplier": 0.5}, 697_013),
    ({"model_variant": "xception_65", "decoder_output_stride": (4,)}, 41_055_413),
    ({"model_variant": "xception_65", "decoder_output_stride": (4,), "num_classes": 19}, 41_054_899),
    ({"model_variant": "xception_41", "decoder_output_stride": (4,)}, 28_108_661),
    (
        {
            "model_variant": "xception_71",
            "decoder_output_stride": (4,),
            "num_classes": 19,
            "dense_prediction_cell_json": "cityscapes",
        },
        41_608_523,
    ),
    ({"model_variant": "resnet_v1_50_beta", "decoder_output_stride": (4,)}, 26_819_909),
    ({"model_variant": "mobilenet_edgetpu", "num_classes": 19}, 3_603_283),
    (
        {
            "model_variant": "mobilenet_edgetpu",
            "num_classes": 19,
            "depth_multiplier": 0.75,
            "aspp_convs_filters": 128,
        },
        1_942_187,
    ),
]


def backbone_model(variant, output_stride, size=(65, 97)):
    """Returns (images -> backbone output) at an output stride."""
    config = ModelConfig(model_variant=variant, output_stride=output_stride)
    backbone = BACKBONES[variant]
    images = keras.Input((*size, 3))
    features, _taps = backbone.build(Blocks(Parts(config), backbone.style, backbone.scope), images, config)
    return keras.Model(images, features)


def randomize(model, seed=0):
    """Gives batch norms arbitrary statistics, so that nothing cancels."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name = reference_name(variable)
        if name.endswith(("gamma", "moving_variance")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif name.endswith(("beta", "moving_mean")):
            variable.assign(rng.uniform(-0.3, 0.3, variable.shape))


def test_every_variant_has_a_backbone():
    assert set(BACKBONES) == set(MODEL_VARIANTS)


def check_size(model, variant):
    """Checks a backbone at stride 8 against the numbers of the reference."""
    assert count_parameters(model) == BACKBONE_PARAMETERS[variant]
    assert model.output_shape[1:3] == (9, 13)


@pytest.mark.parametrize("variant", slow_except(INCONSISTENT, "mobilenet_v3_small_seg"))
def test_backbone_parameters_and_size(variant):
    check_size(backbone_model(variant, 8), variant)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "parameters"), MODEL_PARAMETERS)
def test_model_parameters(options, parameters):
    assert count_parameters(build_model(ModelConfig(output_stride=16, **options))) == parameters


@pytest.mark.parametrize("variant", slow_except(CONSISTENT, "mobilenet_v2"))
def test_atrous_outputs_subsampled_equal_the_strided_output(variant):
    coarse = backbone_model(variant, 32)
    randomize(coarse)
    values = {reference_name(v): v for v in coarse.variables}
    expected = coarse(IMAGES / 127.5 - 1).numpy()
    assert np.ptp(expected) > 0
    for output_stride in (8, 16):
        fine = backbone_model(variant, output_stride)
        for variable in fine.variables:
            variable.assign(values[reference_name(variable)])
        if output_stride == 8:
            check_size(fine, variant)
        actual, step = fine(IMAGES / 127.5 - 1).numpy(), 32 // output_stride
        np.testing.assert_allclose(actual[:, ::step, ::step], expected, atol=2e-5 * np.abs(expected).max())


HEADS = {
    "plain": {},
    "two_stage_decoder": {"decoder_output_stride": (8, 4)},
    "plain_convolutions": {
        "aspp_with_separable_conv": False,
        "decoder_use_separable_conv": False,
        "decoder_output_stride": (8, 4),
        "atrous_rates": (1, 2),
    },
    "sum_merge": {"decoder_output_stride": (4,), "decoder_use_sum_merge": True},
    "sum_merge_plain": {
        "decoder_output_stride": (8, 4),
        "decoder_use_sum_merge": True,
        "decoder_use_separable_conv": False,
    },
    "squeeze": {"aspp_with_squeeze_and_excitation": True, "atrous_rates": (2,)},
    "squeeze_without_projection": {"aspp_with_squeeze_and_excitation": True, "aspp_with_concat_projection": False},
    "no_image_pooling": {"add_image_level_feature": False},
    "sliding_pooling": {"image_pooling_crop_size": (33, 33), "image_pooling_stride": (1, 2)},
    "deeplab_v2": {"aspp_with_batch_norm": False, "atrous_rates": (1, 2), "logits_kernel_size": 3},
    "no_head": {"aspp_with_batch_norm": False},
    "pyramid": {"image_pyramid": (0.5, 1.0, 1.25), "decoder_output_stride": (4,)},
    "bounded": {"use_bounded_activation": True, "decoder_output_stride": (4,)},
    "cell": {"dense_prediction_cell_json": "cityscapes", "decoder_output_stride": (4,)},
    "cell_in_a_pyramid": {"dense_prediction_cell_json": "cityscapes", "image_pyramid": (0.75, 1.0)},
}


@pytest.mark.parametrize("head", slow_except(HEADS, "no_head"))
def test_sizes_known_or_not_give_the_same_logits(head):
    config = ModelConfig(depth_multiplier=0.25, num_classes=5, output_stride=16, **HEADS[head])
    static = build_model(dataclasses.replace(config, crop_size=(65, 97)), (65, 97, 3))
    dynamic = build_model(config)
    randomize(static)
    values = {reference_name(v): v.numpy() for v in static.variables}
    for variable in dynamic.variables:
        variable.assign(values[reference_name(variable)])
    expected = static(IMAGES).numpy()
    scale = max(1.0, *(config.image_pyramid or (1.0,))) / config.logits_stride
    assert expected.shape == (1, *(scale_dimension(side, scale) for side in (65, 97)), 5)
    assert expected.dtype == np.float32
    np.testing.assert_allclose(dynamic(IMAGES).numpy(), expected, atol=1e-5 * np.abs(expected).max())
    outputs = scale_outputs(static)(IMAGES)
    names = {f"logits_{scale:.2f}" for scale in config.image_pyramid or ()}
    assert set(outputs) == {"merged_logits", *names}
    np.testing.assert_array_equal(outputs["merged_logits"], expected)


def test_scales_of_a_pyramid_share_weights_but_cells_do_not():
    names = {reference_name(v) for v in build_model(ModelConfig(image_pyramid=(0.5, 1.0))).variables}
    single = {reference_name(v) for v in build_model(ModelConfig()).variables}
    assert names == single
    cell = ModelConfig(image_pyramid=(0.5, 1.0), dense_prediction_cell_json="cityscapes", output_stride=16)
    scopes = {reference_name(v).split("/")[0] for v in build_model(cell).variables}
    assert {"meta_architecture", "meta_architecture_1"} <= scopes


def test_at_scale_shares_weights_and_is_made_once():
    model = build_model(ModelConfig(crop_size=(65, 65), image_pooling_crop_size=(33, 33)), (65, 65, 3))
    half = at_scale(model, 0.5)
    assert half is at_scale(model, 0.5)
    assert config_of(half).image_pooling_crop_size == (17, 17)
    assert {id(v) for v in half.variables} == {id(v) for v in model.variables}
    assert half(IMAGES[:, :33, :33]).shape == (1, 5, 5, 21)


def test_uint8_and_float_images_are_the_same():
    model = build_model(ModelConfig(depth_multiplier=0.25))
    np.testing.assert_array_equal(model(IMAGES), model(IMAGES.astype(np.float32)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no branches"),
        ([{"op": "conv", "input": 0}], "not an earlier branch"),
        ([{"op": "spin", "input": -1}], "unknown op"),
        ("nowhere.json", "not a published cell"),
        ([{"op": "pyramid_pooling", "input": -1, "grid_size": [2, 2]}], "needs crop_size"),
    ],
)
def test_cells_that_are_none_are_refused(rows, message):
    with pytest.raises(UserError, match=message):
        build_model(ModelConfig(dense_prediction_cell_json=rows, output_stride=16) if rows else _empty_cell())


def _empty_cell():
    return ModelConfig(dense_prediction_cell_json="[]", output_stride=16)


def test_pyramid_pooling_cell_builds_and_scales():
    rows = [{"op": "pyramid_pooling", "input": -1, "grid_size": [2, 2]}, {"op": "conv", "input": 0, "kernel": 1}]
    config = ModelConfig(
        dense_prediction_cell_json=rows, output_stride=16, depth_multiplier=0.25, crop_size=(65, 97), num_classes=3
    )
    model = build_model(config, (65, 97, 3))
    assert model(IMAGES).shape == (1, 5, 7, 3)
    assert at_scale(model, 2.0).input_shape == (None, 129, 193, 3)


def test_trainable_weights_exclude_statistics():
    model = build_model(ModelConfig())
    for variable in model.trainable_variables:
        assert not is_bookkeeping(reference_name(variable))
        assert "moving_" not in reference_name(variable)


def test_frozen_batch_norm_keeps_statistics_and_learns_gamma():
    model = build_model(ModelConfig(fine_tune_batch_norm=False, depth_multiplier=0.25))
    before = {reference_name(v): v.numpy() for v in model.non_trainable_variables}
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(IMAGES, training=True)))
    gamma = next(v for v in model.trainable_variables if reference_name(v).endswith("aspp0/BatchNorm/gamma"))
    assert np.abs(tape.gradient(loss, gamma.value).numpy()).max() > 0
    for variable in model.non_trainable_variables:
        if "BatchNorm" in reference_name(variable):
            np.testing.assert_array_equal(variable.numpy(), before[reference_name(variable)])


def test_moving_averages_settle_fast_unless_told_otherwise():
    means = {}
    for warmup in (True, False):
        config = ModelConfig(batch_norm_warmup=warmup, depth_multiplier=0.25, output_stride=16)
        model = build_model(config, (33, 33, 3))
        model(IMAGES[:, :33, :33], training=True)
        means[warmup] = max(np.abs(v.numpy()).max() for v in model.variables if v.path.endswith("moving_mean"))
    assert means[True] > 10 * means[False] > 0


@pytest.mark.slow
def test_nas_networks_depend_on_the_stride_only_where_they_say():
    for variant in NAS:
        assert build_model(ModelConfig(model_variant=variant, output_stride=8)).output_shape[-1] == 21
    with pytest.raises(UserError, match="nas_hnasnet always has stride 8"):
        ModelConfig(model_variant="nas_hnasnet", output_stride=16)
