"""The best checkpoint stays; training ends when nothing better comes."""

import dataclasses
import json

import pytest

from deeplab.errors import UserError
from deeplab.training.best import SCORE_FILE, BestCheckpoint
from deeplab.training.state import Checkpoints


@dataclasses.dataclass(frozen=True)
class Counted(Checkpoints):
    """Counts its checkpoints in a list and writes none."""

    saved: list = dataclasses.field(default_factory=list)

    def save(self):
        if self.writes:
            self.saved.append(self.folder)
        return self.folder if self.writes else None


class Silent:
    """A `Progress` that reports nothing."""

    def say(self, text):
        pass

    def note(self, step, values):
        pass


def make(folder, scores, saved, patience_steps=0, writes=True, split="val"):
    scores = iter(scores)
    checkpoints = Counted(str(folder), step=None, keep=1, writes=writes, saved=saved)
    return BestCheckpoint(checkpoints, lambda: {"mean_iou": next(scores)}, Silent(), patience_steps, split)


def test_only_a_better_score_is_kept_also_after_a_restart(tmp_path):
    saved = []
    best = make(tmp_path, [0.3, 0.2, 0.4], saved)
    for step in (10, 20, 30):
        best.evaluate(step)
    assert len(saved) == 2
    assert json.loads((tmp_path / SCORE_FILE).read_text()) == {"format": 1, "mean_iou": 0.4, "step": 30, "split": "val"}
    make(tmp_path, [0.35], saved).evaluate(40)
    assert len(saved) == 2


def test_the_score_of_another_split_is_not_compared(tmp_path):
    make(tmp_path, [0.3], []).evaluate(10)
    with pytest.raises(UserError, match=r"score\.json: .* its score on val, .* --eval_split=train\. Resume with --ev"):
        make(tmp_path, [0.9], [], split="train")
    (tmp_path / SCORE_FILE).write_text('{"mean_iou": 0.3, "step": 10}\n')  # as earlier versions wrote it
    assert make(tmp_path, [], [], split="train").best["mean_iou"] == 0.3


def test_patience_ends_the_training_also_after_a_restart(tmp_path):
    best = make(tmp_path, [0.3, 0.2, 0.1], [], patience_steps=20)
    best.evaluate(10)
    best.evaluate(20)
    assert not best.patience_is_over(20)
    best.evaluate(30)
    assert best.patience_is_over(30)
    assert make(tmp_path, [], [], patience_steps=20).patience_is_over(30)
    assert not make(tmp_path, [], []).patience_is_over(30)


def test_a_process_that_writes_nothing_comes_to_the_same_end(tmp_path):
    saved = []
    best = make(tmp_path, [0.3, 0.2, 0.1], saved, patience_steps=20, writes=False)
    for step in (10, 20, 30):
        best.evaluate(step)
    assert best.patience_is_over(30)
    assert not saved
    assert not list(tmp_path.iterdir())
