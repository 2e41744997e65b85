"""The best checkpoint stays; training ends when nothing better comes."""

import json

from deeplab.training.best import SCORE_FILE, Best


def make(folder, scores, saved, patience_steps=0):
    scores = iter(scores)
    return Best(
        str(folder), True, lambda: {"mean_iou": next(scores)}, saved.append, lambda step, values: None, patience_steps
    )


def test_only_a_better_score_is_kept_also_after_a_restart(tmp_path):
    saved = []
    best = make(tmp_path, [0.3, 0.2, 0.4], saved)
    for step in (10, 20, 30):
        best(step)
    assert len(saved) == 2
    assert json.loads((tmp_path / SCORE_FILE).read_text()) == {"mean_iou": 0.4, "step": 30}
    make(tmp_path, [0.35], saved)(40)
    assert len(saved) == 2


def test_patience_ends_the_training_also_after_a_restart(tmp_path):
    best = make(tmp_path, [0.3, 0.2, 0.1], [], patience_steps=20)
    best(10)
    best(20)
    assert not best.ended(20)
    best(30)
    assert best.ended(30)
    assert make(tmp_path, [], [], patience_steps=20).ended(30)
    assert not make(tmp_path, [], []).ended(30)
