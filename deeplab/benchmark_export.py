"""How fast exports run: formats and engines on the same network and the same image, interleaved in one process."""

import tempfile
import time

import numpy as np

from deeplab import formats
from deeplab.config.export import ExportConfig
from deeplab.errors import UserError

# name -> (format, options of ExportConfig, options of its reader)
CONTENDERS = {
    "SavedModel, plain": ("saved_model", {"fold_batch_norm": False}, {}),
    "SavedModel, folded": ("saved_model", {}, {}),
    "SavedModel, folded, bfloat16": ("saved_model", {"precision": "bfloat16"}, {}),
    "TFLite": ("tflite", {}, {}),
    "ONNX Runtime": ("onnx", {}, {}),
    "OpenVINO": ("openvino", {}, {}),
    "OpenVINO, bfloat16": ("openvino", {}, {"precision": "bfloat16"}),
}
_WARM_UP = 3  # runs of each that don't count: caches, and engines that decide by trying
_BASE = "SavedModel, folded"  # that the others are compared with


def print_export(export, checkpoint_dir, size, runs):
    """Exports a network in every format that is installed, runs all in turn, prints median and spread.

    Args:
      export: function (ExportConfig) that exports.
      checkpoint_dir: of the network.
      size: (height, width) of the image.
      runs: how often each is timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        readers = {}
        for name, (kind, options, how) in CONTENDERS.items():
            try:
                config = ExportConfig(
                    checkpoint_dir=checkpoint_dir,
                    export_path=f"{folder}/{len(readers)}",
                    format=kind,
                    crop_size=size,
                    verify=False,
                    **options,
                )
                export(config)
                readers[name] = formats.module(kind).reader(f"{config.export_path}/1", None, **how)
            except UserError as error:
                print(f"{name}: left out ({error})")
        image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
        labels = {name: read(image) for name, read in readers.items()}
        milliseconds = interleaved({name: lambda read=read: read(image) for name, read in readers.items()}, runs)
    base = np.median(milliseconds[_BASE])
    print(f"\nOne image {size[0]}x{size[1]} to labels, {runs} runs in turn")
    print(f"{'':30} {'median':>10} {'quartiles':>19} {'ratio':>6} {'same labels':>12}")
    for name, times in milliseconds.items():
        low, median, high = np.percentile(times, (25, 50, 75))
        same = 100 * np.mean(labels[name] == labels[_BASE])
        print(f"{name:30} {median:7.1f} ms {low:8.1f} - {high:8.1f} {median / base:6.2f} {same:10.2f} %")


def interleaved(functions, runs):
    """Calls every one of {name: function} in turn, `runs` times after a warm-up; returns {name: [milliseconds]}."""
    milliseconds = {name: [] for name in functions}
    for run in range(_WARM_UP + runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if run >= _WARM_UP:
                milliseconds[name].append(1000 * (time.perf_counter() - start))
    return milliseconds
