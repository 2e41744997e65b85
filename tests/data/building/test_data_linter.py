"""datasets/check.py's eyes: good folders pass, every kind of bad record is named."""

import pathlib
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.data import catalog, tfrecord
from deeplab.data.building import label_rules, linter
from deeplab.errors import UserError
from helpers import fake_data
from helpers.places import ROOT

sys.path.insert(0, str(ROOT / "datasets"))
import check


@pytest.fixture
def folder(tmp_path):
    return pathlib.Path(fake_data.shards(tmp_path, {"train": 4}, num_classes=3))


def write(path, **changes):
    """Writes one record, good but for `changes`, as a shard."""
    parts = {
        "filename": "odd",
        "image": fake_data.image(20, 30),
        "image_format": "png",
        "label": fake_data.label(20, 30),
    }
    parts = {**parts, "height": 20, "width": 30, **changes}
    encoded = {k: label_rules.png_bytes(v) if isinstance(v, np.ndarray) else v for k, v in parts.items()}
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tfrecord.serialize(tfrecord.Example(**encoded)))


def lint(folder):
    dataset = catalog.load(str(folder))
    found = linter.lint(str(folder), dataset, 2)
    return found, linter.report(found, dataset)


def test_a_good_folder_has_no_problems(folder):
    found, text = lint(folder)
    assert found.problems == []
    assert "sizes (height x width): 48 to 48 x 64 to 64" in text
    assert "--eval_crop_size=49,65" in text
    assert "kind 2" in text
    linter.contact_sheet(found, catalog.load(str(folder)), str(folder / "sheet.png"))
    assert Image.open(folder / "sheet.png").size == (480, 374)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"image": b""}, "odd: lacks image/encoded"),
        ({"label": fake_data.label(20, 31)}, "image is 30x20, label 31x20"),
        ({"label": np.full((20, 30), 9, np.uint8)}, r"label values outside the classes 0 to 2.*9 \(600 pixels\)"),
        ({"height": 21}, r"its record says \(21, 30\), the image has \(20, 30\)"),
        ({"image_format": "jpeg"}, "its record says 'jpeg', the image is png"),
        ({"image": label_rules.png_bytes(fake_data.image(20, 30))[:100]}, "odd: damaged or cut off"),
        ({"image": b"not an image"}, "odd: no image that can be read"),
    ],
)
def test_bad_records_are_named(folder, changes, problem):
    write(folder / "val-00000-of-00001.tfrecord", **changes)
    found, _ = lint(folder)
    assert len(found.problems) == 1
    assert found.problems[0].startswith(str(folder / "val-00000-of-00001.tfrecord"))
    assert re.search(problem, found.problems[0])


def test_damaged_shards_and_absent_classes_are_named(folder):
    whole = (folder / "train-00000-of-00002.tfrecord").read_bytes()
    (folder / "train-00000-of-00002.tfrecord").write_bytes(whole[:-20])
    changed = bytearray((folder / "train-00001-of-00002.tfrecord").read_bytes())
    changed[len(changed) // 2] ^= 255
    (folder / "train-00001-of-00002.tfrecord").write_bytes(changed)
    found, text = lint(folder)
    assert any("train-00000-of-00002.tfrecord: damaged or cut off in record 1" in p for p in found.problems)
    assert any("train-00001-of-00002.tfrecord: damaged" in p for p in found.problems)
    assert "ABSENT" in text or found.sizes


def test_duplicates_and_leaks_are_named(folder):
    write(folder / "val-00000-of-00002.tfrecord", filename="one")
    write(folder / "val-00001-of-00002.tfrecord", filename="one")
    write(folder / "test-00000-of-00001.tfrecord", filename="two")
    write(folder / "train_extra-00000-of-00001.tfrecord", filename="three")
    problems = "\n".join(lint(folder)[0].problems)
    assert "one: the name occurs twice in split val" in problems
    assert "the same image is two in split test" in problems


def test_the_flags_of_check_say_what_is_looked_at_and_where_the_sheet_goes(folder, tmp_path, capsys):
    dataset_dir = str(folder)
    assert check.check(check.CheckConfig(dataset_dir=dataset_dir)) == 0
    whole = Image.open(folder / "contact_sheet.png").size
    sheet = str(tmp_path / "other.png")
    assert check.check(check.CheckConfig(dataset_dir=dataset_dir, contact_sheet=sheet, num_samples=1)) == 0
    assert np.prod(Image.open(sheet).size) < np.prod(whole)
    with pytest.raises(UserError, match="--dataset=camvid: has no effect, because the data set is 'fake'"):
        check.check(check.CheckConfig(dataset_dir=dataset_dir, dataset="camvid"))
    (folder / "dataset.json").unlink()
    capsys.readouterr()
    check.check(check.CheckConfig(dataset_dir=dataset_dir, dataset="camvid"))
    assert "pedestrian" in capsys.readouterr().out
    with pytest.raises(UserError, match="nowhere"):
        check.check(check.CheckConfig(dataset_dir=str(tmp_path / "nowhere")))
