"""Evaluation while training: the best checkpoint is kept with its score; training may end when none is better."""

import json

import tensorflow as tf

from deeplab.files import atomic

SCORE_FILE = "score.json"


class Best:
    """Call it with the step: scores the model, keeps the checkpoint if it is the best so far.

    Args:
      folder: where the best checkpoint goes, with its score beside it.
      writes: False on workers that write nothing; they score, too, and come to the same end.
      score: function () -> {name: float} with "mean_iou".
      save: function (folder) that writes a checkpoint there.
      note: function (step, {name: float}) that records a score.
      patience_steps: end after this many steps without a better score; 0: never.
    """

    def __init__(self, folder, writes, score, save, note, patience_steps=0):
        self.folder, self.writes = folder, writes
        self.score, self.save, self.note = score, save, note
        self.patience_steps = patience_steps
        self.best = _read(folder) or {"mean_iou": -1.0, "step": 0}

    def __call__(self, step):
        scores = self.score()
        self.note(step, scores)
        if scores["mean_iou"] > self.best["mean_iou"]:
            self.best = {"mean_iou": scores["mean_iou"], "step": step}
            if self.writes:
                self.save(self.folder)
                atomic.write(tf.io.gfile.join(self.folder, SCORE_FILE), json.dumps(self.best) + "\n")

    def ended(self, step):
        """Tells whether nothing better has come for so long that training should end at `step`."""
        return 0 < self.patience_steps <= step - self.best["step"]


def _read(folder):
    path = tf.io.gfile.join(folder, SCORE_FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return json.loads(file.read())
