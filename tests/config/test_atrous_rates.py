"""`--atrous_rates=auto`: rates in proportion to the crop, as numbers."""

import pytest

from deeplab import UserError
from deeplab.config import atrous_rates
from deeplab.config.training import TrainConfig


def model_config(crop=(513, 513), preset=None, **model):
    config = TrainConfig(
        train_logdir="unused", dataset_dir="unused", train_crop_size=crop, preset=preset, model=dict(model)
    )
    return config.model_config(3)


@pytest.mark.parametrize(
    ("crop", "stride", "rates"),
    [
        ((513, 513), 16, (6, 12, 18)),  # the published networks
        ((769, 769), 16, (6, 12, 18)),
        ((513, 513), 8, (12, 24, 36)),
        ((513, 513), 32, (3, 6, 9)),
        ((321, 321), 16, (4, 8, 12)),
        ((257, 513), 16, (3, 6, 9)),  # the smaller side decides
        ((129, 129), 16, (2, 4, 6)),
        ((65, 65), 16, (1, 2, 3)),
        ((33, 33), 16, (1, 2)),
        ((16, 16), 16, ()),
    ],
)
def test_rates_are_in_proportion_to_the_crop(crop, stride, rates):
    assert model_config(crop, atrous_rates="auto", output_stride=stride).atrous_rates == rates


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_rates_reach_cells_and_never_shrink_with_the_crop(stride):
    sizes = range(1, 1200, 7)
    found = [atrous_rates.fitting((size, 2000), stride) for size in sizes]
    for size, rates in zip(sizes, found, strict=True):
        assert all(rate < atrous_rates.cells((size, 2000), stride)[0] for rate in rates)
    assert [max(rates, default=0) for rates in found] == sorted(max(rates, default=0) for rates in found)
    assert found[-1] == atrous_rates.CANONICAL[stride]


@pytest.mark.parametrize(
    ("rate", "sides", "fits"),
    [
        (18, (33, 33), True),
        (36, (65, 65), True),
        (7, (9, 9), True),
        (8, (9, 9), False),  # a ninth of the cells sees a cell at a tap
        (9, (9, 9), False),
        (9, (9, 12), True),  # it reaches cells to its left and right
        (8, (9, 12), False),
        (12, (9, 12), False),
    ],
)
def test_rates_fit_where_most_cells_see_the_image(rate, sides, fits):
    assert atrous_rates.fits((rate, rate), sides) is fits


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_auto_fits(stride):
    for size in range(1, 1200, 7):
        cells = atrous_rates.cells((size, size), stride)
        rates = atrous_rates.fitting((size, size), stride)
        assert all(atrous_rates.fits((rate, rate), cells) for rate in rates), (size, rates)


@pytest.mark.parametrize("variant", ["mobilenet_v2", "xception_65", "nas_pnasnet"])
def test_auto_means_the_same_for_every_family(variant):
    assert model_config((257, 257), model_variant=variant, atrous_rates="auto").rates == (3, 6, 9)


def test_the_smallest_scale_of_an_image_pyramid_decides():
    rates = model_config((513, 513), atrous_rates="auto", image_pyramid=(1.0, 0.5)).atrous_rates
    assert rates == model_config((257, 257), atrous_rates="auto").atrous_rates


def test_auto_goes_before_the_preset_and_is_refused_with_a_dense_prediction_cell():
    preset = "xception65_coco_voc_trainaug"
    assert model_config((129, 129), preset).rates == (6, 12, 18)
    assert model_config((129, 129), preset, atrous_rates="auto").rates == (2, 4, 6)
    with pytest.raises(UserError, match="atrous_rates='auto': expected no value: cityscapes has rates of its own"):
        model_config(atrous_rates="auto", model_variant="xception_65", dense_prediction_cell_json="cityscapes")
