"""The signature `reference` against the original's exported graph."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.checkpoints.restoring import restore
from deeplab.config.data import ResizeConfig
from deeplab.exporting import folding
from deeplab.exporting.signatures import ExportedModule
from deeplab.inference.predictor import Predictor
from helpers import golden_cases, pipeline_goldens

CASES, ARRAYS = pipeline_goldens.load("export")


@pytest.fixture(scope="module")
def folded():
    """The network that the golden exports were made of, as export folds it."""
    case, _arrays = golden_cases.load(CASES["weights_of_case"])
    model = deeplab.build_model(golden_cases.config_of(case, crop_size=None))
    restore(model, golden_cases.source_of(case), strict=True)
    return folding.fold(model)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: str(case["index"]))
def test_it_is_the_originals_graph(folded, case):
    resize = ResizeConfig(*(case[name] for name in ("min_resize_value", "max_resize_value", "resize_factor")))
    predictor = Predictor(folded, case["crop_size"], case["scales"], case["add_flipped_images"])
    index = case["index"]
    module = ExportedModule(predictor, resize)  # its functions hold it by a weak reference only
    result = module.reference(tf.constant(ARRAYS[f"image_{index}"]))
    assert result["SemanticPredictions"].dtype == tf.int32
    assert np.mean(result["SemanticPredictions"] == ARRAYS[f"predictions_{index}"]) > 0.999
    probabilities = result["SemanticProbabilities"]
    if len(case["scales"]) > 1:  # the original applies the softmax twice
        probabilities = tf.nn.softmax(probabilities)
    np.testing.assert_allclose(probabilities[:, ::4, ::4], ARRAYS[f"probabilities_s4_{index}"], atol=1e-4)
