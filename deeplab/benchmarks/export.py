"""How fast exports run: formats and engines on the same network and the same image, interleaved in one process."""

import contextlib
import io
import os
import tempfile

import numpy as np

from deeplab.benchmarks.input import draw_shard
from deeplab.benchmarks.own_process import alone
from deeplab.benchmarks.timing import Row, interleaved, matrix_product_peak, peak_memory, profiled
from deeplab.checkpoints import bundle
from deeplab.config.export import ExportConfig
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.exporting.formats import FORMATS
from deeplab.inference import trained
from deeplab.model.cost import count_multiply_adds
from deeplab.model.names import reference_name
from deeplab.model.network import build_model
from deeplab.training import run_folder

# name -> (format, options of ExportConfig, options of its reader)
CONTENDERS = {
    "SavedModel, plain": ("saved_model", {"fold_batch_norm": False}, {}),
    "SavedModel": ("saved_model", {}, {}),  # batch norms folded: what export writes
    "SavedModel, bfloat16": ("saved_model", {"precision": "bfloat16"}, {}),
    "TFLite": ("tflite", {}, {}),
    "TFLite, int8": ("tflite", {"quantize": "int8"}, {}),
    "ONNX Runtime": ("onnx", {}, {}),
    "OpenVINO": ("openvino", {}, {}),
    "OpenVINO, bfloat16": ("openvino", {}, {"precision": "bfloat16"}),
    "OpenVINO, int8": ("openvino", {"quantize": "int8"}, {}),
}
_BASE = "SavedModel"  # that the others are compared with


def print_networks(export, networks, size, runs, profile=None):
    """As `print_export`, for each of {name: ModelConfig}, with random weights."""
    rows = []
    for name, config in networks.items():
        with tempfile.TemporaryDirectory() as folder:
            write_untrained(folder, config)
            rows += print_export(export, folder, size, runs, name, profile)
    return rows


def write_untrained(folder, config):
    """Makes a train_logdir of a network with random weights and the classes of VOC."""
    rng = np.random.default_rng(0)
    weights = {reference_name(variable): np.asarray(variable) for variable in build_model(config).variables}
    for name, values in weights.items():
        if name.endswith(("beta", "moving_mean")):  # zeros would leave no bias to fuse with convolution and activation
            weights[name] = rng.normal(0, 0.1, values.shape).astype(np.float32)
    write_weights(folder, config, weights)


def write_weights(folder, config, weights):
    """Makes a train_logdir of {name in a checkpoint: array}, with the classes of VOC."""
    bundle.write(bundle.prefix_for(folder, 0), weights)
    run_folder.write_config(folder, config)
    catalog.save(catalog.CATALOG["pascal_voc_seg"], folder)


def print_export(export, checkpoint_dir, size, runs, name="", profile=None):
    """Exports a network in every format that is installed, runs all in turn, prints median and spread.

    Args:
      export: function (ExportConfig) that exports.
      checkpoint_dir: of the network.
      size: (height, width) of the image.
      runs: how often each is timed.
      name: of the network, for the rows.
      profile: folder for a TensorBoard trace of the SavedModel, or None.

    Returns:
      A list of `Row`.
    """
    count = count_multiply_adds(trained.load(checkpoint_dir).config, (*size, 3))
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        written = _write_all(export, checkpoint_dir, size, folder)
        readers = {one: _reader(*where) for one, where in written.items()}
        labels = {one: read(image) for one, read in readers.items()}
        milliseconds = interleaved({one: lambda read=read: read(image) for one, read in readers.items()}, runs)
        if profile:
            profiled(profile, lambda: readers[_BASE](image))
        memory = {one: alone(_memory, where, image) for one, where in written.items()}
    title = f"{name} {size[0]}x{size[1]}".strip()
    peak = matrix_product_peak()
    print(f"\n{title} to labels, {runs} runs in turn; {count / 1e9:.2f} G multiply-adds, {peak:.0f} G/s at most here")
    print(f"{'':24} {'median':>10} {'quartiles':>19} {'ratio':>6} {'G/s':>6} {'memory':>9} {'same labels':>12}")
    rows = []
    base = np.median(milliseconds[_BASE])
    for one, times in milliseconds.items():
        row = Row.of(f"{title}, {one}", times)
        same = 100 * np.mean(labels[one] == labels[_BASE])
        print(
            f"{one:24} {row.median:7.1f} ms {row.low:8.1f} - {row.high:8.1f} {row.median / base:6.2f} "
            f"{count / 1e6 / row.median:6.1f} {memory[one]:6.2f} GB {same:10.2f} %",
            flush=True,
        )
        rows.append(row)
    return rows


def _write_all(export, checkpoint_dir, size, folder):
    """Exports in every way; returns {name: (format, folder, options of its reader)}, without what is not installed."""
    written, images = {}, f"{folder}/images"
    os.makedirs(images)
    draw_shard(images, size)  # int8 needs images; which ones does not change the speed
    catalog.save(catalog.CATALOG["pascal_voc_seg"], images)
    for name, (kind, options, how) in CONTENDERS.items():
        path = f"{folder}/{len(written)}"
        options = {**options, "dataset_dir": images} if "quantize" in options else options
        common = {"checkpoint_dir": checkpoint_dir, "crop_size": size, "input_size": "original", "verify": False}
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # where it went and how to try it
                export(ExportConfig(export_path=path, format=kind, **common, **options))
            written[name] = (kind, f"{path}/1", how)
        except UserError as error:
            print(f"{name}: left out ({error})")
    return written


def _reader(kind, folder, how):
    return FORMATS[kind].reader(folder, **how)


def _memory(where, image):
    """Returns the peak GB of this process after it has looked at an image a few times."""
    read = _reader(*where)
    for _ in range(3):
        read(image)
    return peak_memory()
