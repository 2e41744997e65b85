"""Every format in its own runtime."""

import os
import types

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from deeplab.config.export import ExportConfig
from deeplab.exporting.formats import openvino, tflite, trial_images
from deeplab.layers import resize
from deeplab.programs import export
from helpers import small_export, small_training

SIZE = (65, 65)
UNALIGNED = (60, 70)  # is padded to whole cells inside
RUNTIMES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}

pytestmark = pytest.mark.usefixtures("short_mobilenet")


@pytest.fixture(autouse=True)
def same_environment():
    """Undoes what converters do to the environment, TF_CPP_MIN_LOG_LEVEL for one, which later subprocesses inherit."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def need(kind):
    if kind in RUNTIMES:
        pytest.importorskip(RUNTIMES[kind], reason=f"needs the runtime of {kind}: the extra `export`")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("saved_model", {"precision": "bfloat16"}),
        ("frozen_graph", {}),
        ("tflite", {}),
        ("onnx", {}),
        ("openvino", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value.values()), ""),
)
def test_it_runs_and_agrees(kind, options, tmp_path, capsys, monkeypatch):
    """export itself runs the file and refuses it below a bound."""
    need(kind)
    if options.get("quantize") == "int8":
        options = {**options, "dataset_dir": small_training.shards(), "split": "val"}
    for lossy in ("bfloat16", "int8"):  # the network is untrained, its logits wild; five images are few to learn from
        monkeypatch.setitem(export._LEAST_AGREEMENT, lossy, 0.3)
    folder = small_export.run(tmp_path, format=kind, crop_size=UNALIGNED, verify=True, **options)
    assert "% of the labels equal those of the network" in capsys.readouterr().out
    assert {"model.json", "dataset.json"} < {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_images_of_a_data_set_come_from_the_split_that_is_named():
    def count(**options):
        config = ExportConfig(checkpoint_dir="here", export_path="there", **options)
        network = types.SimpleNamespace(config=config, loaded=small_export.loaded())
        return len(list(trial_images.of_size(network, 9, SIZE)))

    dataset_dir = small_training.shards()
    assert count(dataset_dir=dataset_dir) == 1  # the split train
    assert count(dataset_dir=dataset_dir, split="val") == 5
    assert count() == 9


@pytest.mark.slow
def test_multi_scale_with_flip_fits_into_a_tflite_file(tmp_path):
    need("tflite")
    passes = {"inference_scales": (0.5,), "add_flipped_images": True}
    folder = small_export.run(tmp_path, format="tflite", crop_size=SIZE, **passes)
    image = small_training.pictures()[2][None]
    model = deeplab.load(small_training.logdir()).model
    expected, probabilities = deeplab.predict_labels(model, image, *passes.values())
    same = tflite.reader(str(folder))(image) == expected
    # Where the two passes are sure of different classes, both get 0.5 and rounding chooses (18 of 881 such pixels
    # differ where TensorFlow computes without oneDNN, none with it).
    highest = np.sort(probabilities, axis=-1)[..., -2:]
    assert np.mean(same[highest[..., 1] - highest[..., 0] > 1e-6]) > 0.999
    assert np.mean(same) > 0.98


@pytest.mark.slow
def test_a_file_that_its_runtime_refuses_is_not_kept(tmp_path, monkeypatch):
    need("openvino")
    monkeypatch.setattr(openvino, "write", lambda folder, network: tf.io.gfile.makedirs(folder))
    with pytest.raises(deeplab.UserError, match="--format=openvino: its own runtime refuses the file"):
        small_export.run(tmp_path, format="openvino", crop_size=SIZE, verify=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int8"}, "quantize='int8': expected none with --format=saved_model; tflite, openvino have more"),
        *(
            ({"format": "openvino", "quantize": kind}, f"quantize='{kind}': expected none or int8 with")
            for kind in ("float16", "dynamic")
        ),
        ({"format": "tflite", "quantize": "int8"}, "--dataset_dir"),
        ({"format": "openvino", "quantize": "int8"}, "--dataset_dir"),
        ({"format": "onnx", "precision": "bfloat16"}, "precision='bfloat16'"),
        *(
            ({"format": kind, name: True}, f"{name}=True: expected False: --format={kind} always gives .*saved_model")
            for kind in ("tflite", "onnx", "openvino", "frozen_graph")
            for name in ("with_probabilities", "with_logits", "with_colors")
        ),
        ({"fold_batch_norm": False, "precision": "bfloat16"}, "nofold_batch_norm"),
    ],
)
def test_options_that_contradict_are_refused(options, message):
    with pytest.raises(deeplab.UserError, match=message):
        ExportConfig(checkpoint_dir="here", export_path="there", **options)


@pytest.mark.parametrize(
    ("source", "target"), [((5, 9), (17, 17)), ((1, 1), (3, 4)), ((9, 7), (4, 1)), ((4, 4), (4, 9))]
)
def test_resizing_by_products_is_resizing(source, target):
    x = tf.constant(np.random.default_rng(0).normal(0, 1, (2, *source, 3)), tf.float32)
    with resize.as_products():
        products = resize.resize_bilinear(x, target)
    np.testing.assert_allclose(products, resize.resize_bilinear(x, target), atol=1e-5)
