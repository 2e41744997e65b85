"""Multiply-adds against the published tables, which see atrous convolutions as space-to-batch."""

import pytest

from deeplab import ModelConfig, count_multiply_adds
from deeplab.benchmarks.published_costs import PAPER, model_zoo

FLOAT_OPERATIONS = ("mobilenetv3_large_cityscapes_trainfine", "mobilenetv3_small_cityscapes_trainfine")
ALL = [*PAPER, *(row for row in model_zoo() if row.name not in FLOAT_OPERATIONS)]
ROWS = list({row[1:]: row for row in ALL}.values())  # several models of the zoo are one network


def tolerance(config):
    if config.model_variant == "mobilenet_edgetpu":
        return 0.08  # published with one decimal place, for a size that is not stated
    return {"xception": 0.005, "resnet": 0.02, "mobilenet": 0.015}[config.model_variant.split("_")[0]]


def row_name(row):
    return f"{row.name}-{row.config.output_stride}-{row.billions}"


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in ROWS if len(r.eval_scales) == 1], ids=row_name)
def test_published_costs(row):
    counted = count_multiply_adds(row.config, space_to_batch=True, **row.how) / 1e9
    assert counted == pytest.approx(row.billions, rel=tolerance(row.config))


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in PAPER if len(r.eval_scales) > 1], ids=row_name)
def test_published_costs_of_many_scales(row):
    counted = count_multiply_adds(row.config, space_to_batch=True, **row.how) / 1e9
    assert counted == pytest.approx(row.billions, rel=tolerance(row.config))


def test_the_table_holds_the_figures_of_the_paper():
    figures = {row.billions for row in (*PAPER, *model_zoo())}
    assert {68.0, 240.85, 54.17, 3055.35, 898.69, 2.75, 0.88, 21.27, 418.64, 502.07} <= figures


@pytest.mark.parametrize("row", [row for row in model_zoo() if row.name in FLOAT_OPERATIONS], ids=row_name)
def test_mobilenet_v3_was_published_in_float_operations(row):
    assert 2 * count_multiply_adds(row.config, **row.how) / 1e9 == pytest.approx(row.billions, rel=0.2)


def test_true_multiply_adds_do_not_grow_to_multiples_of_the_rate():
    config = ModelConfig(output_stride=16, atrous_rates=(6,), depth_multiplier=0.25, aspp_convs_filters=8)
    assert count_multiply_adds(config) < count_multiply_adds(config, space_to_batch=True)


def test_scales_and_flips_sum_their_passes():
    config = ModelConfig(output_stride=16, depth_multiplier=0.25)
    half, whole = (count_multiply_adds(config, (size, size, 3)) for size in (33, 65))
    shape = (65, 65, 3)
    assert count_multiply_adds(config, shape, eval_scales=(0.5, 1.0)) == half + whole
    assert count_multiply_adds(config, shape, add_flipped_images=True) == 2 * whole
