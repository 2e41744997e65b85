"""How long a person waits: for --help, for the first step of a training, for the labels of one photograph."""

import subprocess
import sys
import tempfile
import time

import tensorflow as tf

from deeplab.benchmarks.input import draw_shard
from deeplab.benchmarks.timing import Row
from deeplab.data.source import open_split

_SIZE = (360, 480)  # of the images that the training begins with
_ANSWER = """
import sys
import numpy as np, tensorflow as tf
segment = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
segment(images=tf.constant(np.zeros((1, 513, 513, 3), np.uint8)))["labels"].numpy()
"""


def print_startup(runs, saved_model, checkpoint_dir):
    """Prints the seconds from a command to what it shows first.

    Args:
      runs: how often each is timed.
      saved_model: a version folder of an export, for its first answer and for predict.
      checkpoint_dir: a train_logdir, for predict.

    Returns:
      A list of `Row`, in seconds.
    """
    print(f"\nSeconds from the command, {runs} runs in turn")
    with tempfile.TemporaryDirectory() as folder:
        draw_shard(folder, _SIZE)
        commands = {
            f"deeplab.{name} --help": ([*_module(name), "--help"], None) for name in ("train", "eval", "export")
        }
        commands["import tensorflow"] = ([sys.executable, "-c", "import tensorflow"], None)
        commands["import deeplab, ModelConfig"] = ([sys.executable, "-c", "import deeplab; deeplab.ModelConfig"], None)
        commands["first training step, mobilenet_v2"] = (_training(folder), "step 1/")
        commands["first answer of a SavedModel, 513x513"] = ([sys.executable, "-c", _ANSWER, saved_model], None)
        networks = {"export": f"--saved_model={saved_model}", "checkpoint": f"--checkpoint_dir={checkpoint_dir}"}
        for name, network in networks.items():
            commands[f"predict, one photograph, {name}"] = (_prediction(folder, network, name), None)
        seconds = {name: [] for name in commands}
        for _ in range(runs):
            for name, (command, line) in commands.items():
                with tempfile.TemporaryDirectory() as logdir:
                    seconds[name].append(_wait(command + [f"--train_logdir={logdir}"] * (line is not None), line))
    rows = [Row.of(name, values, "s") for name, values in seconds.items()]
    for row in rows:
        print(f"{row.name:40} {row.median:7.2f} s {row.low:8.2f} - {row.high:6.2f}", flush=True)
    return rows


def _module(name):
    return [sys.executable, "-m", f"deeplab.{name}"]


def _training(folder):
    flags = {
        "dataset_dir": folder,
        "dataset": "cityscapes",
        "model_variant": "mobilenet_v2",
        "train_crop_size": "321,321",
        "train_batch_size": 8,
        "training_number_of_steps": 1000,
        "log_steps": 1,
    }
    return _module("train") + [f"--{name}={value}" for name, value in flags.items()]


def _prediction(folder, network, name):
    """Returns the command that segments one photograph of the shard in `folder`."""
    photograph, split = f"{folder}/photograph.jpg", open_split(folder, "train", "cityscapes")
    record = next(iter(tf.data.TFRecordDataset(list(split.paths))))
    with open(photograph, "wb") as file:
        file.write(split.parse(record)["image"].numpy())
    return [*_module("predict"), network, f"--input={photograph}", f"--output={folder}/{name}", "--overwrite"]


def _wait(command, line):
    """Returns the seconds until a command prints a line that begins with `line` (None: until it ends), and stops it."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        found = any(line is not None and said.startswith(line) for said in process.stdout)
        seconds = time.perf_counter() - start
        process.kill()
    if line is not None and not found:
        raise RuntimeError(f"{' '.join(command)} ended before it said {line!r}")
    return seconds
