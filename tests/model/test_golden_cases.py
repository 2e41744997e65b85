"""Every network of the original: its checkpoint, and the numbers that it computed from it (tests/golden/cases)."""

import numpy as np
import pytest

import deeplab
from deeplab.model.views import scale_outputs
from helpers import golden_cases
from helpers.speed import slow_except

pytestmark = pytest.mark.usefixtures("quick_tracing")
TOLERANCE = 2e-4  # of the largest logit
SAME_LABELS = 0.999  # of the pixels; isolated ones may tie
PROBABILITY_TOLERANCE = 1e-3
MULTI_SCALE = [name for name in golden_cases.NAMES if "eval_scales" in golden_cases.load(name)[0]]


@pytest.fixture(scope="module", params=slow_except(golden_cases.NAMES, "mobilenet_v2_os16"))
def golden(request):
    """(case, arrays, model, report) of a case, restored from its checkpoint.

    The scope is the module, so that all tests of a case run one after the other.
    """
    case, arrays = golden_cases.load(request.param)
    model = deeplab.build_model(golden_cases.config_of(case), arrays["images"].shape[1:])
    source = golden_cases.source_of(case)
    return case, arrays, model, deeplab.restore(model, source)


def close_to(logits, expected):
    return np.abs(np.asarray(logits) - expected).max() <= TOLERANCE * np.abs(expected).max()


def test_every_variable_is_loaded(golden):
    case, _arrays, _model, report = golden
    names = {variable["name"] for variable in case["variables"]} - {"global_step"}
    assert {path.replace(".", "/") for path in report.loaded} == names
    assert not report.missing
    slots = {f"{v['name']}/Momentum" for v in case["variables"] if v["trainable"]}
    assert set(report.skipped) == {"global_step"} | (slots if case["checkpoint_has_momentum_slots"] else set())
    assert report.step == case["global_step"]


def test_logits(golden):
    case, arrays, model, _report = golden
    if case["config"]["image_pyramid"]:
        outputs = scale_outputs(model)(arrays["images"])
        for scale in case["config"]["image_pyramid"]:
            assert close_to(outputs[f"logits_{scale:.2f}"], arrays[f"logits_{scale:.2f}"])
        assert close_to(outputs["merged_logits"], arrays["logits"])
    assert close_to(model(arrays["images"]), arrays["logits"])


def test_labels_and_probabilities(golden):
    _case, arrays, model, _report = golden
    labels, probabilities = map(np.asarray, deeplab.predict_labels(model, arrays["images"]))
    assert np.mean(labels == arrays["predictions"]) >= SAME_LABELS
    if "probabilities_s4" in arrays:
        np.testing.assert_allclose(probabilities[:, ::4, ::4], arrays["probabilities_s4"], atol=PROBABILITY_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("golden", MULTI_SCALE, indirect=True, scope="module")
def test_multiple_scales_and_flips(golden):
    case, arrays, model, _report = golden
    passes = {"eval_scales": case["eval_scales"], "add_flipped_images": case["add_flipped_images"]}
    labels, probabilities = map(np.asarray, deeplab.predict_labels(model, arrays["images"], **passes))
    assert np.mean(labels == arrays["ms_predictions"]) >= SAME_LABELS
    softmax_again = np.exp(probabilities) / np.exp(probabilities).sum(-1, keepdims=True)  # as the original does
    np.testing.assert_allclose(softmax_again[:, ::4, ::4], arrays["ms_probabilities_s4"], atol=PROBABILITY_TOLERANCE)


def test_parameters_and_multiply_adds(golden):
    case, arrays, model, _report = golden
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == case["num_trainable_parameters"]
    if case.get("multiply_adds"):
        config = golden_cases.config_of(case)
        assert deeplab.count_multiply_adds(config, arrays["images"].shape[1:]) == case["multiply_adds"]


@pytest.mark.slow
@pytest.mark.parametrize("golden", ["mobilenet_v2_os16"], indirect=True, scope="module")
def test_the_same_from_files(golden, tmp_path):
    case, arrays, _model, report = golden
    prefix = golden_cases.write_checkpoint(case, tmp_path)
    for path in (prefix, str(tmp_path), prefix + ".index"):
        fresh = deeplab.build_model(golden_cases.config_of(case))
        assert deeplab.restore(fresh, path).loaded == report.loaded
    assert close_to(fresh(arrays["images"]), arrays["logits"])
