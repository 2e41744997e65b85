"""Multiply-adds against the published tables, which see atrous convolutions as space-to-batch (513x513, 21 classes)."""

import pytest

from deeplab import ModelConfig, count_multiply_adds

PLAIN = {"aspp_with_separable_conv": False, "decoder_use_separable_conv": False}
SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
CITYSCAPES = {"input_shape": (1025, 2049, 3)}


def xception(output_stride, **options):
    return ModelConfig(model_variant="xception_65", output_stride=output_stride, **options)


def resnet(output_stride, **options):
    grid = (1, 2, 4)  # the published figures are those of the multi grid, with which its checkpoints were trained
    return ModelConfig(
        model_variant="resnet_v1_101_beta", output_stride=output_stride, multi_grid=grid, **PLAIN, **options
    )


DECODER = {"decoder_output_stride": (4,)}
PUBLISHED = [  # billions, per cent of tolerance, network, how it is evaluated
    (68.00, 0.5, xception(16, **PLAIN), {}),
    (240.85, 0.5, xception(8, **PLAIN), {}),
    (89.76, 0.5, xception(16, **PLAIN, **DECODER), {}),
    (262.59, 0.5, xception(8, **PLAIN, **DECODER), {}),
    (54.17, 0.5, xception(16, **DECODER), {}),
    (177.10, 0.5, xception(8, **DECODER), {}),
    (601.74, 0.5, xception(16, **PLAIN), {"eval_scales": SIX_SCALES}),
    (1203.34, 0.5, xception(16, **PLAIN), {"eval_scales": SIX_SCALES, "add_flipped_images": True}),
    (928.81, 0.5, xception(16, **DECODER), {"eval_scales": SIX_SCALES, "add_flipped_images": True}),
    (3055.35, 0.5, xception(8, **DECODER), {"eval_scales": SIX_SCALES, "add_flipped_images": True}),
    (2.75, 1.5, ModelConfig(output_stride=16), {}),
    (0.88, 1.5, ModelConfig(output_stride=16, depth_multiplier=0.5), {}),
    (21.27, 1.5, ModelConfig(output_stride=16, num_classes=19), CITYSCAPES),
    (418.64, 0.5, xception(16, num_classes=19, **DECODER), CITYSCAPES),
    (
        502.07,
        0.5,
        ModelConfig(
            model_variant="xception_71",
            num_classes=19,
            output_stride=16,
            dense_prediction_cell_json="cityscapes",
            **DECODER,
        ),
        CITYSCAPES,
    ),
    (81.02, 2, resnet(16), {}),
    (276.18, 2, resnet(8), {}),
    (52.43, 2, resnet(32), {}),
    (101.28, 2, resnet(16, **DECODER), {}),
    (297.92, 2, resnet(8, **DECODER), {}),
    (74.20, 2, resnet(32, **DECODER), {}),
    (898.69, 2, resnet(16, **DECODER), {"eval_scales": SIX_SCALES}),
]
QUICK = [row for row in PUBLISHED if len(row[3].get("eval_scales", ())) <= 1]
SLOW = [row for row in PUBLISHED if row not in QUICK]


def check(billions, per_cent, config, how):
    counted = count_multiply_adds(config, space_to_batch=True, **how) / 1e9
    assert counted == pytest.approx(billions, rel=per_cent / 100)


@pytest.mark.parametrize(("billions", "per_cent", "config", "how"), QUICK)
def test_published_costs(billions, per_cent, config, how):
    check(billions, per_cent, config, how)


@pytest.mark.slow
@pytest.mark.parametrize(("billions", "per_cent", "config", "how"), SLOW)
def test_published_costs_of_many_scales(billions, per_cent, config, how):
    check(billions, per_cent, config, how)


def test_true_multiply_adds_do_not_grow_to_multiples_of_the_rate():
    config = ModelConfig(output_stride=16, atrous_rates=(6,), depth_multiplier=0.25, aspp_convs_filters=8)
    assert count_multiply_adds(config) < count_multiply_adds(config, space_to_batch=True)


def test_scales_and_flips_sum_their_passes():
    config = ModelConfig(output_stride=16, depth_multiplier=0.25)
    half, whole = (count_multiply_adds(config, (size, size, 3)) for size in (33, 65))
    shape = (65, 65, 3)
    assert count_multiply_adds(config, shape, eval_scales=(0.5, 1.0)) == half + whole
    assert count_multiply_adds(config, shape, add_flipped_images=True) == 2 * whole
