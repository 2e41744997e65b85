"""Evaluation while training: keeps the checkpoint with the best score; a training may end when it stops improving."""

from collections.abc import Callable

import tensorflow as tf

from deeplab.config.training import RunConfig
from deeplab.errors import UserError
from deeplab.files import atomic, formats
from deeplab.training.progress import Progress
from deeplab.training.state import Checkpoints

SCORE_FILE = "score.json"
SCORE = formats.Kind(
    "a score",
    "restore the file, or remove the folder that it is in",
    ("mean_iou", "step"),
    ("split",),
    types={"step": int, "split": str},
)


class BestCheckpoint:
    """Scores the model now and then, and keeps the checkpoint with the best score so far.

    On several machines every process scores, although only one of them writes: all have to decide alike when the
    training ends.

    Args:
      checkpoints: `Checkpoints` in a folder of its own; the score is written beside the checkpoint.
      score: function () -> {name: score} with "mean_iou", which evaluates the model as it is now.
      progress: reports the scores.
      patience_steps: `patience_is_over` after this many steps without a better score; 0: never.
      split: name of the split that `score` scores.

    Raises:
      UserError: the folder holds a best checkpoint that was chosen on another split.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        score: Callable[[], dict[str, float]],
        progress: Progress,
        patience_steps: int = 0,
        split: str = RunConfig.eval_split,
    ):
        self.checkpoints, self.score, self.progress = checkpoints, score, progress
        self.patience_steps, self.split = patience_steps, split
        self.best = self._earlier() or {"mean_iou": -1.0, "step": 0}

    def evaluate(self, step):
        """Scores the model after `step` updates, and saves it if no earlier score was as good."""
        scores = self.score()
        self.progress.note(step, scores)
        if scores["mean_iou"] > self.best["mean_iou"]:
            self.best = {"mean_iou": scores["mean_iou"], "step": step, "split": self.split}
            prefix = self.checkpoints.save()
            if prefix is not None:
                self.progress.say(f"best so far: {prefix}")
                atomic.write(self.checkpoints.path(SCORE_FILE), SCORE.text(self.best, indent=None))

    def _earlier(self):
        """Returns the score of the best checkpoint before a restart, or None; says when its split is a guess."""
        refuse_other_split(self.checkpoints.folder, self.split)
        earlier, path = read_score(self.checkpoints.folder), self.checkpoints.path(SCORE_FILE)
        if earlier is not None and "split" not in earlier:
            self.progress.say(f"{path} does not say its split; it is taken as a score of --eval_split={self.split}")
        return earlier

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


def refuse_other_split(folder, split):
    """Raises a UserError if the best checkpoint in a folder was chosen by its score on another split than `split`."""
    earlier = read_score(folder)
    if earlier is not None and earlier.get("split", split) != split:
        raise UserError(
            f"{tf.io.gfile.join(folder, SCORE_FILE)}: the best checkpoint was chosen by its score on "
            f"{earlier['split']}, which cannot be compared with --eval_split={split}. Resume with "
            f"--eval_split={earlier['split']}, or move the folder {folder} away"
        )


def read_score(folder):
    """Returns {"mean_iou", "step"} of the best checkpoint in a folder, or None where training kept none.

    Raises:
      UserError: the file is damaged, or a newer version wrote it.
    """
    path = tf.io.gfile.join(folder, SCORE_FILE)
    return SCORE.read(path) if tf.io.gfile.exists(path) else None
