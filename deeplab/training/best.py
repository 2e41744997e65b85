"""Evaluation while training: keeps the checkpoint with the best score; a training may end when it stops improving."""

import json
from collections.abc import Callable

import tensorflow as tf

from deeplab.files import atomic
from deeplab.training.progress import Progress
from deeplab.training.state import Checkpoints

SCORE_FILE = "score.json"


class BestCheckpoint:
    """Scores the model now and then, and keeps the checkpoint with the best score so far.

    On several machines every process scores, although only one of them writes: all have to decide alike when the
    training ends.

    Args:
      checkpoints: `Checkpoints` in a folder of its own; the score is written beside the checkpoint.
      score: function () -> {name: score} with "mean_iou", which evaluates the model as it is now.
      progress: reports the scores.
      patience_steps: `patience_is_over` after this many steps without a better score; 0: never.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        score: Callable[[], dict[str, float]],
        progress: Progress,
        patience_steps: int = 0,
    ):
        self.checkpoints, self.score, self.progress = checkpoints, score, progress
        self.patience_steps = patience_steps
        self.best = _read(checkpoints.path(SCORE_FILE)) or {"mean_iou": -1.0, "step": 0}

    def evaluate(self, step):
        """Scores the model after `step` updates, and saves it if no earlier score was as good."""
        scores = self.score()
        self.progress.note(step, scores)
        if scores["mean_iou"] > self.best["mean_iou"]:
            self.best = {"mean_iou": scores["mean_iou"], "step": step}
            prefix = self.checkpoints.save()
            if prefix is not None:
                self.progress.say(f"best so far: {prefix}")
                atomic.write(self.checkpoints.path(SCORE_FILE), json.dumps(self.best) + "\n")

    def patience_is_over(self, step):
        """Tells whether the best score is so many steps old at `step` that the training should end."""
        return 0 < self.patience_steps <= step - self.best["step"]

    def why_over(self, step):
        """Returns why the training ends after `step` updates, a text for the user; None while `patience` lasts."""
        if not self.patience_is_over(step):
            return None
        return (
            f"Stopped early after step {step}: no mIoU was above {self.best['mean_iou']:.4f}, that of step "
            f"{self.best['step']}, in the last {step - self.best['step']} steps. {self.checkpoints.folder} holds the "
            "network of that step (--checkpoint=best). The same command trains no further; a larger --patience goes "
            "on, and --patience=0 goes on to the last step"
        )


def _read(path):
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return json.loads(file.read())
