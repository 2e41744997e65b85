"""Scores checkpoints and exports on a split: the story of `python -m deeplab.eval`."""

import contextlib
import dataclasses
import itertools

import tensorflow as tf

from deeplab import devices
from deeplab.config import effects
from deeplab.config.inference import ALL_CHECKPOINTS
from deeplab.errors import UserError
from deeplab.evaluation import candidates, report
from deeplab.files import escaping, locks
from deeplab.inference import trained
from deeplab.programs.dry_runs import evaluation as dry_run

_TURN_SECONDS = 60  # writing the results of an evaluation takes a few


def evaluate(config):
    """Scores what `config`, an `EvalConfig`, names; with `continuous` every checkpoint that appears in a folder."""
    score(config)


@devices.as_configured
def score(config):
    """Does what `evaluate` does, and returns the content of the JSON file that was written; with `continuous` None."""
    if config.checkpoint == ALL_CHECKPOINTS:
        return evaluate_all(config)
    if not config.continuous or config.dry_run:
        return evaluate_once(config)
    effects.refuse_without_effect(config, effects.EVAL_CONTINUOUS)
    names = trained.new_checkpoints(config.checkpoint_dir, config.eval_interval_secs, config.eval_timeout_secs)
    scored = (name for name in names if _evaluate_unless_removed(dataclasses.replace(config, checkpoint=name)))
    for _ in itertools.islice(scored, config.max_number_of_evaluations or None):
        pass
    return None


def evaluate_once(config):
    """Scores a checkpoint, an export, or all that are compared; prints, writes and returns the scores."""
    # What, and from what: every network with its split. All are open before the first one is scored, so that a wrong
    # path among several fails at once.
    opened = candidates.open_candidates(config)

    # Where: beside the checkpoint or the export. There is no such place for several, which need a folder of their own.
    folder = config.eval_logdir or opened[0].folder

    if config.dry_run:
        dry_run.tell(opened, folder)
        return None

    # Go: every image once; pixels are counted on the device.
    scored = candidates.score_candidates(opened, config)

    # What came out: for the eye, for programs, and for TensorBoard if there is only one.
    with _writing_to(folder):
        if config.compare:
            return report.publish_comparison(scored, folder)
        return report.publish(scored[0], folder)


@contextlib.contextmanager
def _writing_to(folder):
    """Makes the folder of the results; other evaluations that write there have their turn before or after this one."""
    tf.io.gfile.makedirs(folder)
    with locks.hold(folder, "eval_logdir", wait_seconds=_TURN_SECONDS):
        yield


def evaluate_all(config):
    """Scores every checkpoint of a folder, oldest first; prints, writes and returns the scores side by side.

    A checkpoint that is damaged, or that the training has removed meanwhile, is left out, and a line says so.

    Raises:
      UserError: a mistake of the user, or no checkpoint could be read.
    """
    names, scored = trained.checkpoint_names(config.checkpoint_dir), []
    if config.dry_run:
        newest = candidates.open_candidates(dataclasses.replace(config, checkpoint=names[-1]))
        dry_run.tell(newest, config.eval_logdir or newest[0].folder, len(names))
        return None
    for number, name in enumerate(names, 1):
        print(f"Checkpoint {number} of {len(names)}", flush=True)
        try:
            scored.append(candidates.score_checkpoint(config, name))
        except UserError as error:
            if trained.is_readable(config.checkpoint_dir, name):
                raise
            print(escaping.terminal(f"{error}. It is left out"))
        else:
            print(f"mIoU {scored[-1].scores.seen.mean_iou:.4f}", flush=True)
    if not scored:
        raise UserError(f"checkpoint_dir={config.checkpoint_dir}: none of its checkpoints can be read")
    folder = config.eval_logdir or scored[0].candidate.folder
    with _writing_to(folder):
        return report.publish_checkpoints(scored, folder)


def _evaluate_unless_removed(config):
    """Scores a checkpoint; returns False if it is gone, because the training keeps only the newest checkpoints."""
    try:
        evaluate_once(config)
    except UserError:
        if trained.holds(config.checkpoint_dir, config.checkpoint):
            raise
        print(f"{config.checkpoint} was removed before it could be read; going on with the next")
        return False
    return True
