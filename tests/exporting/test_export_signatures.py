"""What a SavedModel of export answers, all asked of one export."""

import dataclasses
import io
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab.config.export import ExportConfig
from deeplab.config.results.written import IdsConfig
from deeplab.data import catalog
from deeplab.exporting import warmup
from deeplab.inference import exports
from deeplab.programs import export as program
from helpers import small_export, small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")


@pytest.fixture(scope="module")
def network(short_mobilenet, tmp_path_factory):
    """A train_logdir of a short network, with a score."""
    folder = str(tmp_path_factory.mktemp("training") / "logdir")
    shutil.copytree(small_training.logdir(), folder)
    results = pathlib.Path(folder, "eval_val", "results.json")
    results.parent.mkdir()
    results.write_text(json.dumps({"step": 7, "miou": 0.25, "split": "val", "dataset": "fake"}))
    return folder


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    """An export with everything that it can return."""
    wanted = {"with_probabilities": True, "with_logits": True, "with_colors": True, "crop_size": (65, 65)}
    return small_export.run(tmp_path_factory.mktemp("export"), checkpoint_dir=network, **wanted)


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(str(folder)).signatures


def image_files():
    """Returns (pictures, their files): sizes differ, one is a JPEG."""
    pictures = small_training.pictures()[:2]
    files = [tf.io.encode_png(pictures[0]).numpy(), tf.io.encode_jpeg(pictures[1]).numpy()]
    return [pictures[0], tf.io.decode_image(files[1]).numpy()], files


def opened(file):
    return np.asarray(Image.open(io.BytesIO(file)))


def test_files_of_several_sizes_give_png_files(signatures):
    pictures, files = image_files()
    result = signatures["bytes"](image_bytes=tf.constant(files))
    assert sorted(result) == ["color_bytes", "label_bytes"]
    colors = np.asarray(catalog.label_colormap(small_training.dataset()))
    drawn, labels = (result[name].numpy() for name in sorted(result))
    for picture, label_file, color_file in zip(pictures, labels, drawn, strict=True):
        expected = signatures["serving_default"](images=picture[None])["labels"][0]
        np.testing.assert_array_equal(opened(label_file), expected)
        np.testing.assert_array_equal(opened(color_file), colors[expected])


def test_logits_and_probabilities_belong_together(signatures, network):
    picture = small_training.pictures()[2]
    result = signatures["serving_default"](images=picture[None])
    np.testing.assert_allclose(tf.nn.softmax(result["logits"]), result["probabilities"], atol=1e-6)
    labels, probabilities = deeplab.predict_labels(deeplab.load(network).model, picture[None])
    np.testing.assert_array_equal(result["labels"], labels)
    # Logits span 300 here: folding rounds them by 1e-6 of that.
    np.testing.assert_allclose(result["probabilities"], probabilities, atol=5e-4)


def test_the_card_tells_what_it_is(folder):
    card = json.loads((folder / "model.json").read_text())
    assert card["score"] == {"miou": 0.25, "split": "val", "dataset": "fake"}
    config = deeplab.ModelConfig(**card["config"])
    assert card["multiply_adds"] == deeplab.count_multiply_adds(config, (65, 65, 3))
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["tf32"] is None  # nothing was verified


def test_warm_up_requests_are_those_of_tensorflow_serving(folder, signatures):
    protos = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2", reason="tensorflow-serving-api is missing"
    )
    records = tf.data.TFRecordDataset(str(folder / warmup.FILE)).as_numpy_iterator()
    requests = [protos.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [request.model_spec.signature_name for request in requests] == ["serving_default", "bytes"]
    for request in requests:
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**{n: tf.constant(a) for n, a in inputs.items()})
        assert len(next(iter(outputs.values()))) == 1
    assert inputs["image_bytes"].shape == (1,)


@pytest.mark.slow
def test_png_files_hold_the_ids_of_the_label_files(network, tmp_path):
    """They travel from the training into the export, its card and its signature; arrays keep class ids."""
    own = {"source_ids": (3, 7, 300), "source_colors": ((1, 1, 1), (2, 2, 2), (3, 3, 3))}
    training = str(shutil.copytree(network, tmp_path / "logdir"))
    catalog.save(dataclasses.replace(small_training.dataset(), **own), training)
    export = exports.load(str(small_export.run(tmp_path / "export", checkpoint_dir=training)))
    pictures, files = image_files()
    labels = export.segment(pictures[0])
    (png,) = export.run("bytes", {"image_bytes": np.array(files[:1], object)})["label_bytes"]
    np.testing.assert_array_equal(opened(png), np.take(own["source_ids"], labels))
    assert {3, 7, 300} >= set(np.unique(opened(png)).tolist()) > {3}
    known = export.dataset()
    (pathlib.Path(export.path) / "dataset.json").unlink()
    for dataset in (known, exports.dataset_of(export.path, export.card)):
        assert {name: getattr(dataset, name) for name in own} == own
    config = ExportConfig(checkpoint_dir=training, export_path=str(tmp_path / "plain"), ids=IdsConfig(class_ids=True))
    plain = program._restored(config).dataset
    assert (plain.source_ids, plain.source_colors, plain.class_names) == ((), (), known.class_names)
