"""`deeplab build ./FOLDER`: what a folder's arrangement says, and what is asked for where it does not."""

import json

import pytest

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.programs.builders import arrangement, folder
from helpers import fake_data

NAMES = ("a", "b", "c")


def fill(root, images="images", labels="labels", below=("",)):
    """Writes three pairs of image and label for each folder `below` those of images and labels."""
    for part in below:
        for i in range(3):
            fake_data.save(fake_data.image(16, 16, seed=i), root / images / part / f"{i}.jpg")
            fake_data.save(fake_data.label(16, 16, num_classes=3, seed=i), root / labels / part / f"{i}.png")


def options(root, **given):
    config = folder.FolderConfig(folder=str(root), output_dir="x", **given)
    return arrangement.filled(config)


def build(root, output_dir, **given):
    folder.build_folder_data(
        folder.FolderConfig(folder=str(root), output_dir=str(output_dir), num_workers=1, num_shards=1, **given)
    )
    return catalog.load(str(output_dir))


def test_folder_says_all_the_flags(tmp_path, capsys):
    fill(tmp_path)
    (tmp_path / "train.txt").write_text("0\n1\n")
    (tmp_path / "val.txt").write_text("2\n")
    (tmp_path / "classes.json").write_text(json.dumps(NAMES))
    dataset = build(tmp_path, tmp_path / "shards")
    assert dataset.splits == {"train": 2, "val": 1}
    assert dataset.class_names == NAMES
    told = capsys.readouterr().out.splitlines()[0]
    for flag in ("image_dir", "label_dir", "list", "class_names"):
        assert f"--{flag}={tmp_path}" in told


def test_folders_named_as_splits_are_splits(tmp_path, capsys):
    fill(tmp_path, "JPEGImages", "masks", below=("train", "test"))
    assert build(tmp_path, tmp_path / "shards", class_names="a,b,c").splits == {"train": 3, "test": 3}
    assert "all are for training" not in capsys.readouterr().out
    assert build(tmp_path, tmp_path / "one", class_names="a,b,c", split="all").splits == {"all": 6}
    assert build(tmp_path, tmp_path / "two", class_names="a,b,c", val_fraction=0.5).splits == {"train": 3, "val": 3}


def test_images_and_labels_may_lie_side_by_side(tmp_path):
    fill(tmp_path, ".", ".")
    assert build(tmp_path, tmp_path / "shards", class_names="a,b,c").splits == {"train": 3}


def test_flags_go_before_what_is_found(tmp_path):
    fill(tmp_path)
    (tmp_path / "train.txt").write_text("0\n")
    (tmp_path / "classes.txt").write_text("x\ny\nz\n")
    found = options(tmp_path, image_dir=("elsewhere",), list=("val.txt",), num_classes=3)
    assert found.image_dir == ("elsewhere",)
    assert found.label_dir == (str(tmp_path / "labels"),)
    assert found.list == ("val.txt",)
    assert found.class_names == ""


def test_what_is_missing_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"--folder=.*missing: no such folder"):
        options(tmp_path / "missing")
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"has none of the folders labels, .*; name it by --label_dir=DIR"):
        options(tmp_path)
    with pytest.raises(UserError, match="image_dir"):
        folder.FolderConfig(output_dir="x")
