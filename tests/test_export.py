"""Exports against predict_labels and the original's graph, in a process that knows nothing of the project."""

import json
import os
import subprocess
import sys

import golden_cases
import numpy as np
import pipeline_goldens
import pytest
import small_training
import tensorflow as tf

import deeplab
from deeplab import trained
from deeplab.config.data import ResizeConfig
from deeplab.config.export import ExportConfig
from deeplab.data import catalog
from deeplab.export import export

FRESH_PROCESS = """
import sys
import numpy as np
import tensorflow as tf
signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
for path in sys.argv[2:]:
    result = signature(images=tf.constant(np.load(path)))
    np.savez(path + ".npz", **{name: tensor.numpy() for name, tensor in result.items()})
assert not [name for name in sys.modules if name.startswith("deeplab")]
"""


def config(tmp_path, **changes):
    return ExportConfig(**{"checkpoint_dir": small_training.logdir(), "export_path": str(tmp_path), **changes})


def test_a_fresh_process_gives_the_labels_of_predict_labels(tmp_path):
    passes = ((0.5, 1.0), True)
    export(config(tmp_path, inference_scales=passes[0], add_flipped_images=passes[1], with_probabilities=True))
    paths = []
    for i, image in enumerate(small_training.pictures()):
        paths.append(str(tmp_path / f"{i}.npy"))
        np.save(paths[-1], np.stack([image] * (1 + i)))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path / "1"), *paths]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    model = deeplab.load(small_training.logdir()).model
    for path in paths:
        result = np.load(path + ".npz")
        labels, probabilities = deeplab.predict_labels(model, np.load(path), *passes)
        np.testing.assert_array_equal(result["labels"], labels)
        np.testing.assert_allclose(result["probabilities"], probabilities, atol=1e-5)


CASES, ARRAYS = pipeline_goldens.load("export")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A train_logdir with the weights that the golden exports were made of."""
    folder = str(tmp_path_factory.mktemp("original"))
    case, _arrays = golden_cases.load(CASES["weights_of_case"])
    golden_cases.write_checkpoint(case, folder)
    trained.remember(folder, golden_cases.config_of(case), {}, catalog.CATALOG["pascal_voc_seg"])
    return folder


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: str(case["index"]))
def test_the_reference_signature_is_the_originals_graph(original, tmp_path, case):
    resize = ResizeConfig(*(case[name] for name in ("min_resize_value", "max_resize_value", "resize_factor")))
    passes = {"inference_scales": case["scales"], "add_flipped_images": case["add_flipped_images"]}
    export(config(tmp_path, checkpoint_dir=original, crop_size=case["crop_size"], resize=resize, **passes))
    index = case["index"]
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["reference"]
    result = signature(ImageTensor=tf.constant(ARRAYS[f"image_{index}"]))
    assert result["SemanticPredictions"].dtype == tf.int32
    assert np.mean(result["SemanticPredictions"] == ARRAYS[f"predictions_{index}"]) > 0.999
    probabilities = result["SemanticProbabilities"]
    if len(case["scales"]) > 1:  # the original applies the softmax twice
        probabilities = tf.nn.softmax(probabilities)
    np.testing.assert_allclose(probabilities[:, ::4, ::4], ARRAYS[f"probabilities_s4_{index}"], atol=1e-4)


def test_versions_count_up_and_know_their_classes(tmp_path, capsys):
    for version in ("1", "2"):
        export(config(tmp_path))
        assert catalog.load(str(tmp_path / version)) == small_training.dataset()
        card = json.loads((tmp_path / version / "model.json").read_text())
        assert (card["step"], card["classes"], card["config"]["num_classes"]) == (7, ["kind 0", "kind 1", "kind 2"], 3)
        assert "Verified: 100.000 %" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_an_export_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab.export._VERIFY_LEAST", 1.1)
    with pytest.raises(deeplab.UserError, match="not exported"):
        export(config(tmp_path))
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(deeplab.UserError, match="checkpoint_dir=nowhere: no such folder"):
        export(config(tmp_path / "export", checkpoint_dir="nowhere"))
    with pytest.raises(deeplab.UserError, match="--checkpoint_dir, one of the two"):
        config(tmp_path, checkpoint_path="both")
    with pytest.raises(deeplab.UserError, match=r"inference_scales=\(0.0,\)"):
        config(tmp_path, inference_scales=(0.0,))
    assert not (tmp_path / "export").exists()
