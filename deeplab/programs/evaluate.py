"""Scores checkpoints and exports on a split: the story of `python -m deeplab.eval`."""

import dataclasses
import itertools

from deeplab.config import effects
from deeplab.errors import UserError
from deeplab.evaluation import candidates, report
from deeplab.inference import trained


def evaluate(config):
    """Scores what `config`, an `EvalConfig`, names; with `continuous` every checkpoint that appears in a folder."""
    if not config.continuous:
        evaluate_once(config)
        return
    effects.refuse_without_effect(config, effects.EVAL_CONTINUOUS)
    names = trained.new_checkpoints(config.checkpoint_dir, config.eval_interval_secs, config.eval_timeout_secs)
    scored = (name for name in names if _evaluate_unless_removed(dataclasses.replace(config, checkpoint=name)))
    for _ in itertools.islice(scored, config.max_number_of_evaluations or None):
        pass


def evaluate_once(config):
    """Scores a checkpoint, an export, or all that are compared; prints and writes the scores."""
    # What, and from what: every network with its split. All are open before the first one is scored, so that a wrong
    # path among several fails at once.
    opened = candidates.open_candidates(config)

    # Where: beside the checkpoint or the export. There is no such place for several, which need a folder of their own.
    folder = config.eval_logdir or opened[0].folder

    # Go: every image once; pixels are counted on the device.
    scored = candidates.score_candidates(opened, config)

    # What came out: for the eye, for programs, and for TensorBoard if there is only one.
    if config.compare:
        report.publish_comparison(scored, folder)
    else:
        report.publish(scored[0], folder)


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
