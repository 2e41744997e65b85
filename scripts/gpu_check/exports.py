"""The default export: written, loaded and run on the GPU by every signature, and by the server."""

import contextlib
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request

import numpy as np
import tensorflow as tf

import deeplab
from deeplab import devices
from deeplab.benchmarks.export import write_weights
from deeplab.config.benchmark import NETWORKS
from deeplab.config.export import ExportConfig
from deeplab.config.model import ModelConfig
from deeplab.inference import exports, trained
from deeplab.model.names import reference_name
from deeplab.model.network import build_model
from deeplab.programs.export import export
from gpu_check import common, rows

_SHORT = ModelConfig(**{**vars(NETWORKS["mobilenet_v2 + decoder"]), "depth_multiplier": 0.25})
# Share of labels. With random weights many pixels lie between two classes: on a CPU bfloat16 agrees on 85 %, float16 on
# 97 % of the labels.
_LEAST = {"float32": 0.999, "bfloat16": 0.75, "float16": 0.9}
_PASSES = 5  # after which the batch norms know their averages
_SERVER_NEEDS = ("starlette", "uvicorn", "prometheus_client")


def check(options):
    """Checks a short network in every precision, then the network that is measured, and starts the server."""
    common.use_tf32(False)
    precisions = ("float32",) if options.quick else _LEAST
    networks = [("short network", _SHORT, precision) for precision in precisions]
    if not options.quick:
        networks.append((options.network, NETWORKS[options.benchmark_network], "float32"))
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, config, precision) in enumerate(networks):
            try:
                exact = precision == "float32"  # `export` asks for more in 16 bits than random weights give
                path = write(f"{folder}/{number}", config, precision, verify=exact)
                _run_signatures(f"{name}, {precision}", path, f"{folder}/{number}/train", _LEAST[precision])
            except Exception as error:
                rows.send(f"{name}, {precision}", ok=False, error=common.one_line(error))
            if number == 0:
                _serve(f"{folder}/0/export")


def write(folder, config, precision, verify=False):
    """Exports a network below `folder`, always with the same random weights; returns the path of the export."""
    os.makedirs(folder, exist_ok=True)
    _write_checkpoint(f"{folder}/train", config)
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        asked = {"precision": precision, "verify": verify, "checkpoint_dir": f"{folder}/train"}
        export(ExportConfig(export_path=f"{folder}/export", **asked))
    print(told.getvalue(), flush=True)
    return f"{folder}/export/1"


def _write_checkpoint(folder, config):
    """Makes a train_logdir with random weights, the same every time, whose network tells classes apart.

    In a new network one class wins everywhere, so that equal labels would show nothing.
    """
    devices.set_seed(0)
    model = build_model(config)
    images = common.smooth_images(4, 97)
    for _ in range(_PASSES):
        model(images, training=True)
    logits = model.get_layer("logits.semantic")
    logits.kernel.assign(np.random.default_rng(0).normal(0, 1, logits.kernel.shape))
    logits.bias.assign(-np.mean(model(images), axis=(0, 1, 2)))
    write_weights(folder, config, {reference_name(variable): np.asarray(variable) for variable in model.variables})


def _run_signatures(name, path, checkpoint_dir, least):
    """Sends one row: the least share of labels of the signatures that equal those of the network."""
    image = common.smooth_images(1, 97)
    expected = np.asarray(deeplab.predict_labels(trained.load(checkpoint_dir).model, image)[0])[0]
    signatures = tf.saved_model.load(path).signatures
    png = tf.io.encode_png(image[0])
    answers = {
        "serving_default": signatures["serving_default"](images=tf.constant(np.concatenate([image, image])))["labels"][
            1
        ],
        "bytes": tf.io.decode_png(signatures["bytes"](image_bytes=png[None])["label_bytes"][0])[..., 0],
        "reference": signatures["reference"](ImageTensor=tf.constant(image))["SemanticPredictions"][0],
    }
    same = {signature: np.mean(np.asarray(labels) == expected) for signature, labels in answers.items()}
    figures = {f"{signature}_labels_equal_percent": 100 * share for signature, share in same.items()}
    classes = len(np.unique(expected))  # if one class wins everywhere, equal labels show nothing
    rows.send(name, ok=min(same.values()) >= least and classes > 1, classes=classes, **figures)


def _serve(folder):
    """Starts the server on an export, sends one image, and compares the answer with the export's own."""
    missing = [name for name in _SERVER_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        rows.send("server", skipped=f"{missing[0]} is missing")
        return
    image = common.smooth_images(1, 65)
    reader = exports.load(f"{folder}/1")
    expected = reader.run(exports.DEFAULT_SIGNATURE, {"images": image})["labels"]
    command = [sys.executable, "-m", "deeplab.serve", f"--saved_model={folder}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            said = next(filter(None, (re.search(r"on (http://\S+:\d+)/", line) for line in server.stdout)), None)
            if said is None:
                rows.send("server", ok=False, error="it ended before it listened; see the log")
                return
            body = json.dumps({"instances": image.tolist()}).encode()
            with urllib.request.urlopen(f"{said[1]}/v1/models/deeplab:predict", body, timeout=60) as answer:
                labels = np.array(json.load(answer)["predictions"])
            same = np.mean(labels == expected)
            rows.send("server", ok=same >= _LEAST["float32"], labels_equal_percent=100 * same)
        finally:
            server.terminate()
