"""A training that a tracker follows: which run is its, what the run is told, and what it keeps at the end."""

import contextlib
import importlib
import importlib.util
import os
import tempfile

import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.errors import UserError, not_installed
from deeplab.files import atomic, formats, paths, places
from deeplab.training import run_folder
from deeplab.training.best import SCORE_FILE
from deeplab.training.tracking import feed, messages

FILE = "tracker.json"
_KIND = formats.Kind(
    "a record of the runs of trackers",
    "remove it, and the tracker gets a new run",
    ("runs",),  # {tracker: id of the run}
    types={"runs": {str: str}},
)
_PACKAGES = {"wandb": "wandb", "mlflow": "mlflow-skinny"}  # tracker, which is the module: what pip installs
_LEFT_OUT = ("tracker", "dry_run", "tpu", "data_service")  # of the parameters; the last two are addresses


def refuse(tracker):
    """Raises a UserError if the tracker cannot be used: its package is missing, or a variable that it needs."""
    if tracker is None:
        return
    found = importlib.util.find_spec(tracker)
    if found is None or found.origin is None:  # a folder of that name, such as W&B's own, is no package
        raise not_installed(f"--tracker={tracker} needs", ImportError(name=tracker), [_PACKAGES[tracker]])
    reason = importlib.import_module(f"deeplab.training.tracking.{tracker}_run").refusal()
    if reason:
        raise UserError(f"--tracker={tracker}: {reason}")


def train(loop, config, model_config, start, beside=()):
    """Returns `loop.train()`, of which the tracker of the TrainConfig hears, if there is one and this process writes.

    Args:
      loop: the `TrainingLoop`.
      config, model_config: what is trained.
      start: the step that comes next. A training that is resumed goes on with its run.
      beside: names of files in the train_logdir that the tracker keeps with the best checkpoint.
    """
    if config.run.tracker is None or not loop.progress.writes or loop.why_over(start) is not None:
        return loop.train()
    run, status = _begin(config, model_config, start, loop.progress.say), messages.FAILED
    loop.progress.tracker = run
    try:
        result = loop.train()
        status = messages.FINISHED if result is None else messages.STOPPED
        return result
    except KeyboardInterrupt:
        status = messages.STOPPED
        raise
    finally:
        loop.progress.tracker = None
        with _kept(config.train_logdir, beside) if status == messages.FINISHED else contextlib.nullcontext({}) as files:
            run.end(status, loop.runner.step.updates(), files)


def parameters(options):
    """Returns {flag: value} of what `recorded_options` returned, with names in place of paths."""
    flat = run_folder.flat(options)
    return {
        name: _text(value, 2 if name == "tf_initial_checkpoint" else 1)
        for name, value in flat.items()
        if name not in _LEFT_OUT and value not in (None, [], "")
    }


def _text(value, parts):
    """Returns the value of a flag; a path is shortened to so many parts, and the items of a list are joined."""
    if isinstance(value, list):
        return ",".join(str(_text(item, parts)) for item in value)
    return places.shortened(value, parts) if places.is_path(value) else value


def _begin(config, model_config, start, say):
    folder, tracker = config.train_logdir, config.run.tracker
    path = tf.io.gfile.join(folder, FILE)
    runs = _KIND.read(path)["runs"] if tf.io.gfile.exists(path) else {}
    begin = {
        "id": runs.get(tracker) if start else None,
        "name": places.shortened(folder, 1) or "training",
        "folder": None if paths.is_remote(folder) else folder,
        "step": start,
        "parameters": parameters(run_folder.recorded_options(config, model_config)),
    }

    def remember(name):
        say(f"{tracker} run {name}")
        atomic.write(path, _KIND.text({"runs": {**runs, tracker: name}}))

    return feed.Feed(feed.command(tracker), begin, say, remember)


@contextlib.contextmanager
def _kept(folder, beside):
    """Gives {name: local path} of the best checkpoint and of what belongs to it; of the newest where there is no best.

    The files are a train_logdir of their own, which the other programs take. Its config.json says what the network is,
    and nothing about the training, whose options hold paths of this machine.
    """
    best = tf.io.gfile.join(folder, run_folder.BEST_FOLDER)
    prefix = bundle.latest(best) or bundle.latest(folder)
    above = prefix.rpartition("/")[0]
    found = [*tf.io.gfile.glob(f"{prefix}.data-*"), f"{prefix}.index"]
    found += [tf.io.gfile.join(above, SCORE_FILE), *(tf.io.gfile.join(folder, name) for name in beside)]
    with tempfile.TemporaryDirectory() as work:
        files = {path.rpartition("/")[2]: _local(path, work) for path in found if tf.io.gfile.exists(path)}
        content = run_folder.read_config(folder)
        kept = os.path.join(work, run_folder.CONFIG_FILE)
        size = {name: content[name] for name in ("trained_size",) if name in content}
        atomic.write(kept, run_folder.CONFIG.text({"model": content["model"], "training": {}, **size}))
        yield {**files, run_folder.CONFIG_FILE: kept}


def _local(path, work):
    """Returns the absolute path of a file, or of its copy in the folder `work` if it is remote."""
    if not paths.is_remote(path):
        return os.path.abspath(path)
    copy = os.path.join(work, path.rpartition("/")[2])
    tf.io.gfile.copy(path, copy)
    return copy
