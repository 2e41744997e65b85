"""Exports where TensorFlow has no dilated depthwise kernel: processors without AVX-512, or oneDNN turned off."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplab.exporting.folding import PRECISIONS
from deeplab.exporting.formats import FORMATS
from helpers import short_networks, small_export, small_training
from helpers.speed import slow_except

RUNTIMES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
ALL_PRECISIONS = """
import sys
import numpy as np
from deeplab import devices
from deeplab.exporting import folding
from deeplab.exporting.signatures import ExportedModule
from deeplab.inference.predictor import Predictor
from helpers import short_networks

image = np.random.default_rng(1).integers(0, 256, (1, 65, 65, 3)).astype(np.uint8)
for variant in sys.argv[1:]:
    devices.set_seed(2)  # features of many random networks are larger than the largest float16
    model = short_networks.build(variant)
    expected, _probabilities = Predictor(model)(image)
    for precision, least in {"float32": 0.99, "bfloat16": 0.8, "float16": 0.95}.items():
        module = ExportedModule(Predictor(folding.fold(model, precision)))
        labels = module.signatures()["serving_default"](images=image)["labels"]
        same = np.mean(labels == expected)
        assert same >= least, (variant, precision, same)
"""
EXPORT = """
import pathlib
import sys
from helpers import short_networks, small_export

short_networks.shorten_mobilenet()
small_export.run(pathlib.Path(sys.argv[1]), format=sys.argv[2], crop_size=(65, 65), verify=True)
"""
READ = """
import sys
import numpy as np
import tensorflow as tf
from deeplab.exporting.formats import FORMATS
from deeplab.inference import exports

image = np.load(sys.argv[1])
png = tf.io.encode_png(image[0]).numpy()
for kind, folder in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    labels = [FORMATS[kind].reader(folder)(image)]
    if kind == "saved_model":
        export = exports.load(folder)
        labels.append(export.run("reference", {"ImageTensor": image})["SemanticPredictions"])
        files = export.run("bytes", {"image_bytes": [png]})["label_bytes"]
        labels.append(tf.io.decode_png(files[0]).numpy()[None, ..., 0])
    np.save(f"{folder}/labels.npy", np.stack(labels))
"""


def run(program, *arguments):
    """Runs Python code in a process without oneDNN; returns what it prints."""
    path = [os.path.dirname(os.path.dirname(__file__)), os.environ["PYTHONPATH"]]  # the first for `helpers`
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


# Several networks share a process, whose start takes longer than a network. The quick round has one network.
GROUPS = {"mobilenet_v2": ["mobilenet_v2"]}
for one in short_networks.DISTINCT:
    if one not in GROUPS:
        GROUPS.setdefault(one.partition("_")[0], []).append(one)


@pytest.mark.parametrize("group", slow_except(GROUPS, "mobilenet_v2"))
def test_a_folded_network_runs_in_every_precision(group):
    run(ALL_PRECISIONS, *GROUPS[group])


@pytest.mark.parametrize("kind", slow_except(FORMATS, "tflite"))
def test_every_format_is_written_and_compared(kind, tmp_path):
    if kind in RUNTIMES:
        pytest.importorskip(RUNTIMES[kind], reason=f"needs the runtime of {kind}: the extra `export`")
    said = run(EXPORT, str(tmp_path), kind)
    assert "% of the labels equal those of the network; worst logit off by" in said
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.slow
def test_what_was_written_with_onednn_runs_without(tmp_path, short_mobilenet):
    ways = {precision: ("saved_model", {"precision": precision}) for precision in PRECISIONS}
    ways |= {"plain": ("saved_model", {"fold_batch_norm": False}), "frozen": ("frozen_graph", {})}
    image = small_training.pictures()[2][None]
    np.save(tmp_path / "image.npy", image)
    folders, arguments = {}, []
    for name, (kind, options) in ways.items():
        folders[name] = str(small_export.run(tmp_path / name, format=kind, **options))
        arguments += [kind, folders[name]]
    run(READ, str(tmp_path / "image.npy"), *arguments)
    for name, (kind, _options) in ways.items():
        expected = FORMATS[kind].reader(folders[name])(image)
        for labels in np.load(f"{folders[name]}/labels.npy"):
            assert np.mean(labels == expected) > (0.5 if name.endswith("16") else 0.99), name


def test_an_export_of_before_is_refused_in_one_line(tmp_path):
    """Exports of before held dilated depthwise convolutions."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")])
    def labels(images):
        kernel, strides = tf.ones((3, 3, 3, 1)), [1] * 4
        x = tf.cast(images, tf.float32)
        x = tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=kernel, strides=strides, padding="SAME", dilations=[1, 2, 2, 1]
        )
        return {"labels": tf.argmax(x, axis=-1)}

    module.labels = labels
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": labels})
    program = f"""
import numpy as np
from deeplab.errors import UserError
from deeplab.inference import exports

export = exports.load({str(tmp_path)!r})
for call in (
    lambda: export.segment(np.zeros((9, 9, 3), np.uint8)),
    lambda: export.run("serving_default", {{"images": np.zeros((1, 9, 9, 3), np.uint8)}}),
):
    try:
        call()
    except UserError as error:
        print(error)
"""
    first, *said = run(program).splitlines()
    assert "a process of its own opens it first" in first
    assert len(said) == 2
    assert all("holds dilated depthwise convolutions" in line and "export the network again" in line for line in said)
