"""The quickstart's drawings: seeded, all classes present, image and label of one size, lists without overlap."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import UserError
from deeplab.programs.builders import scenes as drawings
from deeplab.programs.builders import shapes
from helpers.places import ROOT

SCRIPT = ROOT / "datasets" / "draw_shapes.py"


def test_a_scene_is_a_function_of_its_seed():
    first, again, other = (drawings.draw_scene(np.random.default_rng(seed), (64, 80)) for seed in (1, 1, 2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == (64, 80, 3)
    assert first[1].shape == (64, 80)


def test_every_class_is_drawn_and_none_has_a_colour_of_its_own():
    scenes = [drawings.draw_scene(np.random.default_rng(seed), (96, 128)) for seed in range(40)]
    images, labels = (np.stack(part) for part in zip(*scenes, strict=True))
    classes = range(len(drawings.CLASSES))
    assert set(np.unique(labels)) == set(classes)
    for name in ("sky", "ground"):  # the nearest mean colour says little about the class
        pixels = images[labels == drawings.CLASSES.index(name)].astype(float)
        assert pixels.std(axis=0).min() > 30, name
    means = np.stack([images[labels == k].mean(axis=0) for k in classes])
    distance = np.square(images[:, ::4, ::4, None].astype(float) - means).sum(axis=-1)
    guess = distance.argmin(axis=-1)
    truth = labels[:, ::4, ::4]
    iou = [np.sum((guess == k) & (truth == k)) / np.sum((guess == k) | (truth == k)) for k in classes]
    assert np.mean(iou) < 0.3


def test_folder_is_complete(tmp_path):
    flags = (f"--output_dir={tmp_path}", "--train_images=3", "--val_images=2", "--size=48,64", "--seed=5")
    subprocess.run([sys.executable, SCRIPT, *flags], check=True, capture_output=True)
    train, val = ((tmp_path / f"{split}.txt").read_text().split() for split in ("train", "val"))
    assert (len(train), len(val), len({*train, *val})) == (3, 2, 5)
    for stem in train + val:
        label = Image.open(tmp_path / "labels" / f"{stem}.png")
        assert Image.open(tmp_path / "images" / f"{stem}.jpg").size == label.size == (64, 48)
        assert label.mode == "L"
    assert [row["name"] for row in json.loads((tmp_path / "classes.json").read_text())] == list(drawings.CLASSES)


@pytest.mark.parametrize("wrong", [{}, {"output_dir": "x", "size": (48,)}, {"output_dir": "x", "train_images": 0}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(UserError):
        shapes.DrawConfig(**wrong)
