"""How many images a second whole programs segment, beside the exported network alone on the same images.

A program reads, decodes, pads, counts, draws, encodes and writes beside the network, and on a CPU the network waits for
all of that. The programs run in this process and tell when each image is finished. Speed is measured between an image
near the beginning and one near the end, so that neither the start of the program nor its end counts.
"""

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.benchmarks import server_load
from deeplab.benchmarks.input import draw_shard
from deeplab.benchmarks.timing import Row
from deeplab.config.data import ReadConfig
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig, VisConfig
from deeplab.config.input_size import ORIGINAL
from deeplab.data import catalog, source, tfrecord
from deeplab.evaluation.batches import DCT_METHOD
from deeplab.files import progress_bar
from deeplab.inference import export_folder, exports

_SIZE = (375, 500)  # of the images that are drawn where there is no data set: PASCAL VOC's usual size
_SPLIT = "val"
_NAME = "photographs"  # of the split and the folder that are written
_LAST = 5  # images that are not timed, because a program does less beside them
BARE = "exported network alone"


class Programs(NamedTuple):
    """The programs, each a function of its configuration."""

    export: Callable[..., Any]
    predict: Callable[..., Any]
    evaluate: Callable[..., Any]
    visualize: Callable[..., Any]


class Photographs(NamedTuple):
    """The images that every program gets: a data set, and the same images as files.

    Attributes:
      folder: holds a shard of the split `photographs`, and a folder of that name with JPEG or PNG files.
      files: the bytes of all image files.
      pixels: all images, (H, W, 3) uint8.
    """

    folder: str
    files: list[bytes]
    pixels: list[np.ndarray]


def print_programs(programs, checkpoint_dir, data, runs, name=""):
    """Measures every program with one network, and prints images a second, their ratio to the network and start-ups.

    Args:
      programs: `Programs`.
      checkpoint_dir: a train_logdir.
      data: (folder of the shards or None, name of the split, number of images). None draws images.
      runs: how often each is measured, in turn.
      name: of the network, for the rows.

    Returns:
      A list of `Row`: images a second of the network and each program, then the seconds in which each program starts.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        photographs = _photographs(f"{folder}/data", *data)
        saved_model = f"{folder}/export"
        common = {"checkpoint_dir": checkpoint_dir, "input_size": ORIGINAL, "verify": False}
        _quietly(programs.export, ExportConfig(export_path=saved_model, **common))
        clients = stack.enter_context(server_load.serving(saved_model))
        rates = {"server, 8 clients": lambda: _rate_of(lambda: clients(photographs.files), photographs)}
        export = exports.load(export_folder.find(saved_model).path)
        rates[BARE] = lambda: _rate_of(lambda: [export.segment(image) for image in photographs.pixels], photographs)
        for rate in rates.values():
            rate()  # warms up
        calls = _calls(programs, checkpoint_dir, saved_model, photographs.folder)
        found = [
            {**{one: (rate(), None) for one, rate in rates.items()},
             **{one: _speed(call) for one, call in calls.items()}}
            for _ in range(runs)
        ]  # fmt: skip
    return _print_table(name, photographs, [BARE, *calls, "server, 8 clients"], found)


def _calls(programs, checkpoint_dir, saved_model, data):
    """Returns {name: function (empty folder) that runs a program over the images}."""
    checkpoint, export = {"checkpoint_dir": checkpoint_dir}, {"saved_model": saved_model}

    def predict(**network):
        return lambda output: programs.predict(PredictConfig(input=f"{data}/{_NAME}", output=output, **network))

    def evaluate(network):
        split = {"dataset_dir": data, "eval_split": _NAME}
        return lambda output: programs.evaluate(EvalConfig(**split, eval_logdir=output, **network))

    def visualize(output):
        return programs.visualize(VisConfig(dataset_dir=data, vis_split=_NAME, vis_logdir=output, **checkpoint))

    return {
        "predict, export": predict(**export),
        "predict, checkpoint": predict(**checkpoint, input_size=ORIGINAL),
        "eval, export": evaluate(export),
        "eval, checkpoint": evaluate(checkpoint),
        "vis, checkpoint": visualize,
    }


def _speed(call):
    """Returns the images a second of a program, and the seconds until it has finished the first image."""
    with tempfile.TemporaryDirectory() as output, progress_bar.observed() as moments:
        start = time.perf_counter()
        _quietly(call, output)
    first = len(moments) // 4
    last = max(len(moments) - _LAST, first + 2) - 1
    return (last - first) / max(moments[last] - moments[first], 1e-9), moments[0] - start


def _rate_of(function, photographs):
    start = time.perf_counter()
    function()
    return len(photographs.files) / (time.perf_counter() - start)


def _quietly(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function(*arguments)


def _print_table(name, photographs, names, found):
    """Prints one line for each of `names`; `found` has {name: (images a second, seconds of the start or None)}."""
    title, sizes = f"{name}, " if name else "", {image.shape[:2] for image in photographs.pixels}
    usual = np.median([image.shape[:2] for image in photographs.pixels], axis=0).astype(int)
    what = f"{len(photographs.files)} photographs of {len(sizes)} sizes, mostly {usual[0]}x{usual[1]}"
    print(f"\n{title}{what}; {len(found)} runs in turn")
    print(f"{'':26} {'images/s':>9} {'quartiles':>16} {'of the network':>15} {'start':>8}")
    rows, starts = [], []
    for one in names:
        row = Row.of(f"{title}{one}", [run[one][0] for run in found], "images/s")
        ratio = np.median([run[one][0] / run[BARE][0] for run in found])
        line = f"{one:26} {row.median:9.1f} {row.low:7.1f} - {row.high:6.1f} {ratio:15.2f}"
        if found[0][one][1] is not None:
            starts.append(Row.of(f"{title}{one}, start", [run[one][1] for run in found], "s"))
            line += f" {starts[-1].median:6.1f} s"
        print(line, flush=True)
        rows.append(row)
    return rows + starts


def _photographs(folder, dataset_dir, split_name, count):
    """Writes the `Photographs` to a new folder: the first `count` images of a split, or drawn images."""
    os.makedirs(folder)
    if dataset_dir is None:
        dataset_dir, split_name = f"{folder}/drawn", _SPLIT
        os.makedirs(dataset_dir)
        draw_shard(dataset_dir, _SIZE, count, split=split_name)
        catalog.save(catalog.CATALOG["pascal_voc_seg"], dataset_dir)
    split = source.open_split(dataset_dir, split_name, None, ReadConfig())
    catalog.save(split.dataset, folder)
    records = list(tf.data.TFRecordDataset(list(split.paths)).take(count).as_numpy_iterator())
    files = [split.parse(record)["image"].numpy() for record in records]
    os.makedirs(f"{folder}/{_NAME}")
    with tf.io.TFRecordWriter(f"{folder}/{tfrecord.shard_name(_NAME, 0, 1)}") as writer:
        for record in records:
            writer.write(record)
    for number, content in enumerate(files):
        with open(f"{folder}/{_NAME}/{number:05}.jpg", "wb") as file:
            file.write(content)
    pixels = [tf.io.decode_jpeg(content, 3, dct_method=DCT_METHOD).numpy() for content in files]  # decodes PNGs, too
    return Photographs(folder, files, pixels)
