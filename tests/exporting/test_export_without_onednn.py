"""Exports where TensorFlow has no dilated depthwise kernel: processors without AVX-512, or oneDNN turned off."""

import os
import subprocess
import sys

import pytest

RUNTIMES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime"}
FOLD = """
import numpy as np
import deeplab
from deeplab.exporting import folding
from deeplab.layers.folded import runs_dilated
from helpers import short_networks

assert not any(runs_dilated(precision) for precision in folding.PRECISIONS)
short_networks.shorten_mobilenet()
config = deeplab.ModelConfig(num_classes=3, depth_multiplier=0.25, output_stride=16, atrous_rates=(6,))
model = deeplab.build_model(config)
short_networks.randomize(model)
assert {2, 6} <= {layer.rate[0] for layer in model.layers if isinstance(getattr(layer, "rate", None), tuple)}
image = np.random.default_rng(1).uniform(0, 255, (1, 129, 113, 3)).astype(np.float32)
expected = model(image).numpy()
for precision, worst in {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.01}.items():
    folded = folding.fold(model, precision)
    np.testing.assert_allclose(folded(image), expected, atol=worst * np.ptp(expected), err_msg=precision)
"""
EXPORT = """
import pathlib
import sys
from helpers import short_networks, small_export

short_networks.shorten_mobilenet()
small_export.run(pathlib.Path(sys.argv[1]), format=sys.argv[2], crop_size=(65, 65), verify=True)
"""


def run(program, *arguments):
    """Runs Python code in a process without oneDNN; returns what it prints."""
    path = [os.path.dirname(os.path.dirname(__file__)), os.environ["PYTHONPATH"]]  # the first for `helpers`
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_a_folded_network_runs_in_every_precision():
    run(FOLD)


@pytest.mark.parametrize("kind", RUNTIMES)
def test_files_for_other_engines_are_written_and_compared(kind, tmp_path):
    pytest.importorskip(RUNTIMES[kind], reason=f"needs the runtime of {kind}: the extra `export`")
    said = run(EXPORT, str(tmp_path), kind)
    assert "% of the labels equal those of the network; worst logit off by" in said
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
