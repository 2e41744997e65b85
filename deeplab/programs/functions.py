"""Training, evaluation and export as functions, for notebooks and other programs.

Keyword arguments are named as the flags of `python -m deeplab.train`, `eval` and `export`, have the same defaults and
go through the same checks. A mistake raises a `deeplab.UserError`, and nothing ends the process.
"""

import contextlib
import json
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig
from deeplab.config.options import require
from deeplab.config.training import TrainConfig
from deeplab.files import locks
from deeplab.programs import evaluate, export, train
from deeplab.segmenting import keywords
from deeplab.training import run_folder
from deeplab.training.best import read_score
from deeplab.training.progress import METRICS_FILE

_COMMANDS_ONLY = ("dry_run",)  # which leaves nothing that a function could return


class Training(NamedTuple):
    """What `train_model` leaves.

    Attributes:
      train_logdir: its folder, which `Segmenter.load`, `evaluate_model` and `export_model` take.
      step: the last step that is saved.
      checkpoint: the prefix of the checkpoint of that step.
      metrics: the last line of metrics.jsonl, e.g. {"step": 500, "loss": 0.31, ...}; {} without such a line.
      best: {"mean_iou", "step", "split"} of the best checkpoint, or None without eval_interval_steps.
      is_over: False after a SIGTERM, when the same call goes on.
    """

    train_logdir: str
    step: int
    checkpoint: str
    metrics: dict[str, Any]
    best: dict[str, Any] | None
    is_over: bool


def train_model(**options: Any) -> Training:
    """Trains a network, or goes on with a training, and returns what it left.

    The compute type of Keras is afterwards as it was before. The seeds of Python, NumPy and TensorFlow are set, and
    deterministic=True holds for the rest of the process.

    Args:
      options: flags of train, e.g. train_logdir="run", dataset_dir="shards", training_number_of_steps=1000,
        train_crop_size=(321, 321), fine_tune_batch_norm=False.

    Returns:
      A `Training`.

    Raises:
      UserError: an option is unknown or wrong, or the training cannot go on.
      KeyboardInterrupt: it was interrupted; the checkpoint is saved, and the same call goes on.
    """
    config = keywords.configuration(TrainConfig, options, "train_model", "train", _COMMANDS_ONLY)
    with _same_compute_type():
        try:
            stopped = train.train(config)
        finally:
            locks.release(config.train_logdir)  # this process may live on for days
    folder = config.train_logdir
    best_folder = tf.io.gfile.join(folder, run_folder.BEST_FOLDER)
    checkpoint = bundle.latest(folder) or bundle.latest(best_folder)
    best = read_score(best_folder)
    return Training(folder, bundle.step_of(checkpoint), checkpoint, _last_metrics(folder), best, not stopped)


def evaluate_model(**options: Any) -> dict[str, Any]:
    """Scores a checkpoint or an export, or several, and returns the scores; they are written and printed, too.

    Args:
      options: flags of eval, e.g. checkpoint_dir="run", dataset_dir="shards", eval_split="val", eval_scales=(0.5, 1.0).

    Returns:
      The content of results.json: "miou", "pixel_accuracy", "classes" and so on, None for a score that is not defined.
      With compare=..., it is that of comparison.json, and with checkpoint="all" that of checkpoints.json.

    Raises:
      UserError: an option is unknown or wrong, or something cannot be read.
    """
    config = keywords.configuration(EvalConfig, options, "evaluate_model", "eval", _COMMANDS_ONLY)
    expected = "False, since a function has to return; call it for each checkpoint"
    require(not config.continuous, "continuous", config.continuous, expected)
    return evaluate.score(config)


def export_model(**options: Any) -> str:
    """Writes a trained network as files that run without this project, and returns their folder, EXPORT_PATH/VERSION.

    Args:
      options: flags of export, e.g. checkpoint_dir="run", export_path="export", format="onnx", crop_size=(513, 513).

    Returns:
      The folder of the new version.

    Raises:
      UserError: an option is unknown or wrong, or the export does not give the network's labels.
    """
    config = keywords.configuration(ExportConfig, options, "export_model", "export", _COMMANDS_ONLY)
    return export.write_version(config)


@contextlib.contextmanager
def _same_compute_type():
    """Gives the caller's compute type back to Keras at the end."""
    before = tf.keras.mixed_precision.global_policy()
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def _last_metrics(folder):
    """Returns the last line of metrics.jsonl, or {}."""
    path = tf.io.gfile.join(folder, METRICS_FILE)
    if not tf.io.gfile.exists(path):
        return {}
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().split("\n")
    return next((json.loads(line) for line in reversed(lines) if line.strip()), {})
