"""ModelConfig refuses what cannot be built, and says what can."""

import json

import numpy as np
import pytest

from deeplab import ModelConfig, UserError
from deeplab.config.options import differences, from_json, to_json

REFUSED = [
    ({"model_variant": "vgg"}, "model_variant='vgg': expected one of xception_41"),
    ({"output_stride": 7}, "output_stride=7: expected one of 8, 16, 32"),
    ({"output_stride": "16"}, "output_stride='16': expected int"),
    ({"num_classes": 0}, "num_classes=0"),
    ({"num_classes": True}, "num_classes=True: expected int"),
    ({"crop_size": (513,)}, "crop_size=.*height, width"),
    ({"crop_size": 513}, "crop_size=513: expected a sequence of int"),
    ({"atrous_rates": (6, 0)}, "atrous_rates=.*positive"),
    ({"atrous_rates": "auto"}, "atrous_rates='auto': expected numbers: only train"),
    ({"multi_grid": (1, 2, 4)}, "mobilenet_v2 has no multi grid block"),
    ({"multi_grid": (1, 2, 4), "model_variant": "resnet_v1_18"}, "multi_grid=.*expected 2 positive"),
    ({"depth_multiplier": 0.5, "model_variant": "xception_65"}, "depth_multiplier=0.5: expected 1 for xception_65"),
    ({"divisible_by": 8, "model_variant": "mobilenet_edgetpu"}, "divisible_by=8"),
    ({"image_pyramid": (0.5, -1.0)}, "image_pyramid"),
    ({"image_pyramid": (0.5, 1.0, 0.5)}, "image_pyramid"),
    ({"depth_multiplier": float("inf")}, "depth_multiplier=inf: expected a finite number"),
    ({"image_pyramid": (1.0, np.float32("nan"))}, "image_pyramid=nan: expected a finite number"),
    ({"merge_method": "min"}, "merge_method='min': expected one of max, avg"),
    ({"label_weights": (1.0, 2.0)}, "21 weights, one per class"),
    ({"logits_kernel_size": 3}, "logits_kernel_size=3: expected 1, unless"),
    ({"nas_use_classification_head": True}, "nas_use_classification_head"),
    ({"dense_prediction_cell_json": "cityscapes", "output_stride": 32}, "rates are 0 at 32"),
    ({"dense_prediction_cell_json": "cityscapes", "aspp_with_batch_norm": False}, "aspp_with_batch_norm"),
    ({"decoder_output_stride": (4, 8)}, "descending"),
    ({"decoder_output_stride": (16,), "output_stride": 8}, "none above output_stride=8"),
    ({"decoder_output_stride": (4,), "model_variant": "mobilenet_edgetpu"}, "defines no features for a decoder"),
    ({"decoder_output_is_logits": True}, "decoder_output_is_logits"),
    (
        {"decoder_output_is_logits": True, "decoder_use_sum_merge": True, "decoder_output_stride": (8,)},
        "decoder_filters=256: expected 21",
    ),
    ({"aspp_with_squeeze_and_excitation": True, "add_image_level_feature": False}, "image pooling branch"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_nonsense_is_refused_with_the_way_out(options, message):
    with pytest.raises(UserError, match=message):
        ModelConfig(**options)


def test_rates_follow_the_stride_where_none_are_given():
    for stride, rates in ((32, (3, 6, 9)), (16, (6, 12, 18)), (8, (12, 24, 36))):
        assert ModelConfig(model_variant="xception_65", output_stride=stride).rates == rates
        assert ModelConfig(model_variant="mobilenet_v2", output_stride=stride).rates == ()
    assert ModelConfig(model_variant="xception_65", atrous_rates=()).rates == ()
    assert ModelConfig(atrous_rates=[2, 4]).rates == (2, 4)


def test_defaults_are_those_of_the_reference():
    config = ModelConfig()
    assert (config.model_variant, config.output_stride, config.merge_method) == ("mobilenet_v2", 8, "max")
    assert config.aspp_convs_filters == config.decoder_filters == 256
    assert config.logits_stride == 8
    assert ModelConfig(decoder_output_stride=(8, 4)).logits_stride == 4


def test_configurations_survive_json_and_hash():
    cell = [{"op": "conv", "input": -1, "kernel": 1}]
    config = ModelConfig(crop_size=[65, 97], dense_prediction_cell_json=cell, label_weights=[1] * 21)
    again = from_json(ModelConfig, json.loads(to_json(config)), "config.json")
    assert again == config
    assert hash(again) == hash(config)
    assert differences(config, ModelConfig(crop_size=(65, 97)))["label_weights"][1] is None
    with pytest.raises(UserError, match=r"config.json: unknown option 'depth'"):
        from_json(ModelConfig, {"depth": 3}, "config.json")
    with pytest.raises(UserError, match=r"config.json: output_stride=9"):
        from_json(ModelConfig, {"output_stride": 9}, "config.json")
