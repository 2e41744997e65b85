"""Restoring by name: what is loaded, skipped, missing and refused."""

import numpy as np
import pytest

import deeplab
from deeplab.checkpoints import bundle
from deeplab.checkpoints.batch_norms import SETTLED
from deeplab.checkpoints.sources import WeightsFile
from deeplab.model.names import is_bookkeeping, reference_name
from helpers.tiny_training import two_replicas

SMALL = {"depth_multiplier": 0.25, "aspp_convs_filters": 8, "output_stride": 16}


def network(**options):
    return deeplab.build_model(deeplab.ModelConfig(**SMALL | options))


def values_of(model, bookkeeping=False):
    """Returns {reference name: array} of a model."""
    named = {reference_name(variable): np.asarray(variable) for variable in model.variables}
    return {name: value for name, value in named.items() if bookkeeping or not is_bookkeeping(name)}


def random_values(model, seed=1):
    """Returns values for all variables of a model that no initialiser gives."""
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(0.5, 1, value.shape).astype(np.float32) for name, value in values_of(model).items()}


def source(values, **extra):
    return WeightsFile("given.ckpt", "checkpoint", values | extra)


def assert_same(model, values):
    for name, value in values_of(model).items():
        np.testing.assert_array_equal(value, values[name], err_msg=name)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def values(model):
    return random_values(model)


def test_everything_fits(model, values):
    report = deeplab.restore(model, source(values, global_step=np.int64(7)))
    assert_same(model, values)
    assert len(report.loaded) == len(values)
    assert report.missing == ()
    assert report.step == 7
    assert report.skipped == {"global_step": "the training step"}


def test_loaded_statistics_count_as_settled(values):
    model = network()
    deeplab.restore(model, source(values), initialize_last_layer=False)
    counters = {n: float(v) for n, v in values_of(model, bookkeeping=True).items() if n.endswith("/updates")}
    assert counters["MobilenetV2/Conv/BatchNorm/updates"] == SETTLED
    assert counters["aspp0/BatchNorm/updates"] == 0  # not loaded: still warming up


def test_own_checkpoint_keeps_counters(model, values):
    own = values | {"aspp0/BatchNorm/updates": np.float32(5)}
    deeplab.restore(model, source(own))
    assert values_of(model, bookkeeping=True)["aspp0/BatchNorm/updates"] == 5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("aspp0/weights/Momentum", "optimizer"),
        ("aspp0/weights/Adam", "optimizer"),
        ("aspp0/weights/Adam_1", "optimizer"),
        ("beta1_power", "optimizer"),
        ("loss_scale/factor", "optimizer"),
        ("concat_projection/dropout_9/draws", "counter"),
        ("aspp0/weights/ExponentialMovingAverage", "moving average"),
        ("xception_65/logits/weights", "ImageNet"),
        ("MobilenetV2/Conv_1/BatchNorm/gamma", "ImageNet"),
        ("MobilenetV2/Logits/Conv2d_1c_1x1/biases", "ImageNet"),
        ("resnet_v1_50/logits/biases", "ImageNet"),
        ("pnasnet/aux_7/aux_logits/FC/weights", "ImageNet"),
        ("decoder/feature_projection0/weights", "no such variable"),
    ],
)
def test_extras_are_skipped_by_name(model, values, name, reason):
    report = deeplab.restore(model, source(values, **{name: np.zeros(3, np.float32)}))
    assert list(report.skipped) == [name]
    assert reason in report.skipped[name]


def test_moving_averages_on_request(model, values):
    averaged = {"aspp0/weights/ExponentialMovingAverage": 2 * values["aspp0/weights"]}
    deeplab.restore(model, source(values, **averaged), use_moving_averages=True)
    np.testing.assert_array_equal(values_of(model)["aspp0/weights"], 2 * values["aspp0/weights"])
    deeplab.restore(model, source(values), use_moving_averages=True)  # has none
    np.testing.assert_array_equal(values_of(model)["aspp0/weights"], values["aspp0/weights"])


def test_a_report_tells_which_of_the_two_were_taken(model, values):
    averages = source(values, **{"aspp0/weights/ExponentialMovingAverage": values["aspp0/weights"]})
    assert not deeplab.restore(model, averages, use_moving_averages=True).skipped
    assert "use_moving_averages=False" in str(deeplab.restore(model, averages))


@pytest.mark.parametrize("sources", [[2, 0, 1], [None, 20, 3, None, 0], [None, None]])
def test_logits_go_to_the_classes_that_are_named(values, sources):
    model = network(num_classes=len(sources))
    before = values_of(model)
    average = 3 * values["logits/semantic/biases"]
    file = source(values, **{"logits/semantic/biases/ExponentialMovingAverage": average})
    report = deeplab.restore(model, file, use_moving_averages=True, class_sources=sources)
    assert len(report.loaded) == len(values)
    given, after = values | {"logits/semantic/biases": average}, values_of(model)
    for name in ("logits/semantic/weights", "logits/semantic/biases"):
        for label, of in enumerate(sources):
            expected = before[name][..., label] if of is None else given[name][..., of]
            np.testing.assert_array_equal(after[name][..., label], expected, err_msg=f"{name} {label}")


def test_missing_variables_keep_their_values(values):
    model = network()
    before = values_of(model)
    del values["aspp0/weights"]
    report = deeplab.restore(model, source(values))
    assert report.missing == ("aspp0/weights",)
    np.testing.assert_array_equal(values_of(model)["aspp0/weights"], before["aspp0/weights"])
    with pytest.raises(deeplab.UserError, match=r"given\.ckpt: the file lacks 1 variables of the model.*aspp0/weights"):
        deeplab.restore(model, source(values), strict=True)


def test_strict_refuses_what_the_model_would_not_use(model, values):
    decoder = {"decoder/feature_projection0/weights": np.zeros((1, 1, 36, 48), np.float32)}
    slots = {"aspp0/weights/Momentum": np.zeros((1, 1, 80, 8), np.float32)}
    deeplab.restore(model, source(values | slots), strict=True)
    with pytest.raises(deeplab.UserError, match=r"has 1 that the model lacks, e\.g\. decoder/.*decoder_output_stride"):
        deeplab.restore(model, source(values | decoder), strict=True)


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({}, ()),
        ({"initialize_last_layer": False}, ("image_pooling", "aspp", "concat_projection", "decoder", "logits")),
        ({"initialize_last_layer": False, "last_layers_contain_logits_only": True}, ("logits",)),
        ({"last_layers_contain_logits_only": True}, ()),
    ],
)
def test_last_layers(options, left_out):
    model = network(decoder_output_stride=(4,))
    values, before = random_values(model), values_of(model)
    report = deeplab.restore(model, source(values), **options)
    assert_same(
        model, {name: before[name] if name.startswith(left_out) and left_out else values[name] for name in values}
    )
    assert len(report.loaded) + len(report.skipped) == len(values)
    assert not report.missing


def test_other_number_of_classes(values):
    model = network(num_classes=5)
    logits = values_of(model)["logits/semantic/weights"]
    report = deeplab.restore(model, source(values))
    assert report.skipped == dict.fromkeys(
        ("logits/semantic/weights", "logits/semantic/biases"), "21 classes in the file, 5 in the model"
    )
    np.testing.assert_array_equal(values_of(model)["logits/semantic/weights"], logits)
    with pytest.raises(deeplab.UserError, match="set num_classes=21"):
        deeplab.restore(model, source(values), strict=True)


def test_other_number_of_classes_where_the_decoder_gives_the_logits():
    options = {
        "decoder_output_stride": (8,),
        "decoder_use_sum_merge": True,
        "decoder_output_is_logits": True,
    }
    values = random_values(network(**options, num_classes=19, decoder_filters=19))
    report = deeplab.restore(network(**options, num_classes=4, decoder_filters=4), source(values))
    assert set(report.skipped) == {name for name in values if name.startswith("decoder/")}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            {"depth_multiplier": 0.5},
            ["MobilenetV2/Conv/weights", r"\(3, 3, 3, 8\)", r"\(3, 3, 3, 16\)", "depth_multiplier"],
        ),
        ({"aspp_convs_filters": 16}, ["image_pooling/weights", "aspp_convs_filters"]),
        ({"add_image_level_feature": False}, ["concat_projection/weights", "add_image_level_feature"]),
    ],
)
def test_other_shapes_are_refused_and_nothing_is_assigned(values, options, named):
    model = network(**options)
    before = values_of(model)
    with pytest.raises(deeplab.UserError, match=".*".join(named)) as error:
        deeplab.restore(model, source(values))
    assert "\n" not in str(error.value)
    assert_same(model, before)


def test_other_network_is_refused(model, values):
    head = {name: value for name, value in values.items() if not name.startswith("MobilenetV2")}
    other = {"xception_65/entry_flow/conv1_1/weights": np.zeros((3, 3, 3, 32), np.float32)}
    for content in (other, head | other):
        with pytest.raises(
            deeplab.UserError, match=r"the file has .*xception_65.*the model .*MobilenetV2.*model_variant"
        ):
            deeplab.restore(model, source(content))


def test_report_is_readable(values):
    del values["aspp0/BatchNorm/gamma"], values["aspp0/BatchNorm/beta"]
    text = str(deeplab.restore(network(num_classes=5), source(values, global_step=np.int64(30000))))
    assert "given.ckpt (checkpoint, step 30000)" in text
    assert "21 classes in the file, 5 in the model: logits/semantic/weights, logits/semantic/biases" in text
    assert "left at their initial values: aspp0/BatchNorm/{gamma, beta}" in text
    assert [row.split() for row in text.splitlines() if row.split()[0] == "aspp0"] == [["aspp0", "3", "2", "0"]]


def test_inside_and_outside_of_a_strategy(values, tmp_path):
    strategy = two_replicas()
    with strategy.scope():
        model = network()
        deeplab.restore(model, source(values))
    assert_same(model, values)
    doubled = {name: 2 * value for name, value in values.items()}
    deeplab.restore(model, source(doubled))
    assert_same(model, doubled)


def test_round_trip_with_own_checkpoint(model, values, tmp_path):
    prefix = bundle.prefix_for(str(tmp_path), 12)
    deeplab.restore(model, source(values))
    bundle.write(prefix, values_of(model, bookkeeping=True) | {"global_step": np.int64(12)})
    fresh = network()
    report = deeplab.restore(fresh, str(tmp_path), strict=True)
    assert report.step == 12
    assert report.source == prefix
    restored = values_of(fresh, bookkeeping=True)
    for name, value in values_of(model, bookkeeping=True).items():
        np.testing.assert_array_equal(restored[name], value, err_msg=name)
