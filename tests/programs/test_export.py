"""Exports against predict_labels in a process that knows nothing of the project; folders, cards and mistakes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.config.export import ExportConfig
from deeplab.data import catalog
from deeplab.programs import export
from helpers import small_export, small_training

FRESH_PROCESS = """
import sys
import numpy as np
import tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
for path in sys.argv[2:]:
    images = np.load(path)
    result = dict(signatures["serving_default"](images=tf.constant(images)))
    files = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    labels = [tf.io.decode_png(file)[..., 0] for file in signatures["bytes"](image_bytes=files)["label_bytes"]]
    result["from_files"] = tf.stack(labels)
    result |= signatures["reference"](ImageTensor=tf.constant(images[:1]))
    np.savez(path + ".npz", **{name: tensor.numpy() for name, tensor in result.items()})
assert not [name for name in sys.modules if name.startswith("deeplab")]
"""


pytestmark = pytest.mark.usefixtures("short_mobilenet")


@pytest.mark.slow
def test_a_fresh_process_gives_the_labels_of_predict_labels(tmp_path):
    passes = ((0.5, 1.0), True)
    small_export.run(tmp_path, inference_scales=passes[0], add_flipped_images=passes[1], with_probabilities=True)
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
        np.testing.assert_array_equal(result["from_files"], labels)
        np.testing.assert_array_equal(result["SemanticPredictions"], labels[:1])
        # One image against the same image in a batch: without oneDNN, products of other sizes are summed in another
        # order, and logits that span 300 make 8e-6 of it.
        np.testing.assert_allclose(result["SemanticProbabilities"], result["probabilities"][:1], rtol=0, atol=5e-5)
        # Logits span 300 here: folding rounds them by 1e-6 of that.
        np.testing.assert_allclose(result["probabilities"], probabilities, atol=5e-4)


@pytest.mark.slow
def test_versions_count_up_and_know_their_classes(tmp_path, capsys):
    (tmp_path / "3").mkdir()
    folder = small_export.run(tmp_path, verify=True)
    assert "Verified: 100.000 %" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4"]
    assert catalog.load(str(folder)) == small_training.dataset()
    card = json.loads((folder / "model.json").read_text())
    assert (card["step"], card["classes"], card["config"]["num_classes"]) == (7, ["kind 0", "kind 1", "kind 2"], 3)
    assert card["tf32"] is False


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"constant_weights": False}, {"fold_batch_norm": False}], ids=str)
def test_weights_are_constants_unless_they_shall_be_variables(tmp_path, options):
    loaded = tf.saved_model.load(str(small_export.run(tmp_path, **options)))
    assert bool(loaded.signatures["serving_default"].variables) == bool(options)


@pytest.mark.slow
def test_an_export_that_disagrees_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(export._LEAST_AGREEMENT, "float32", 1.1)
    with pytest.raises(deeplab.UserError, match="not exported"):
        small_export.run(tmp_path, verify=True, format="frozen_graph", crop_size=(65, 65))
    assert not list(tmp_path.iterdir())


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(deeplab.UserError, match="checkpoint_dir=nowhere: no such folder"):
        small_export.run(tmp_path / "export", checkpoint_dir="nowhere")
    config = {"checkpoint_dir": "here", "export_path": "there"}
    with pytest.raises(deeplab.UserError, match="--checkpoint_dir, one of the two"):
        ExportConfig(checkpoint_path="both", **config)
    with pytest.raises(deeplab.UserError, match=r"inference_scales=\(0.0,\)"):
        ExportConfig(inference_scales=(0.0,), **config)
    assert not (tmp_path / "export").exists()
