"""The eyes of `deeplab check`: good folders pass, every kind of bad record is named."""

import io
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.data import catalog, tfrecord
from deeplab.data.building import linter, upright
from deeplab.errors import UserError
from deeplab.programs.builders import check
from helpers import fake_data


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
    encoded = {k: upright.png_bytes(v) if isinstance(v, np.ndarray) else v for k, v in parts.items()}
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
        ({"image": upright.png_bytes(fake_data.image(20, 30))[:100]}, "odd: damaged or cut off"),
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
    assert "the same images are in the splits test and train_extra: 1 (two=three)" in problems
    assert "the same images are in the splits train_extra and val: 2 (three=one, three=one)" in problems


def test_an_image_is_known_by_its_pixels(folder):
    other = io.BytesIO()
    Image.fromarray(fake_data.image(20, 30)).save(other, "PNG", compress_level=0)
    write(folder / "train-00000-of-00001.tfrecord", image=other.getvalue())
    write(folder / "val-00000-of-00001.tfrecord")
    for path in folder.glob("train-*-of-00002.tfrecord"):
        path.unlink()
    problems = "\n".join(lint(folder)[0].problems)
    assert "the same images are in the splits train and val: 1 (odd)" in problems


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label": np.full((20, 30), 255, np.uint8)}, "split val: no pixel has a class, all have the ignore label 255"),
        ({"label": np.eye(20, 30, dtype=np.uint8) * 253 + 2}, "split val: all pixels with a class are kind 2"),
        ({"image": np.full((20, 30, 3), (9, 200, 30), np.uint8)}, "split val: images of a single colour: 1 (odd)"),
        ({"image": fake_data.image(20, 30) // 20}, "split val: nearly black images: 1 (odd)"),
    ],
)
def test_images_and_labels_without_content_are_named(folder, changes, problem):
    write(folder / "val-00000-of-00001.tfrecord", **changes)
    found, _ = lint(folder)
    assert found.problems == [f"{folder}: {problem}"]


def test_only_a_few_of_many_alike_are_named(folder):
    for i in range(5):
        image = np.full((20, 30, 3), i, np.uint8)
        write(folder / f"val-{i:05}-of-00005.tfrecord", filename=f"dark_{i}", image=image)
    (problem,) = lint(folder)[0].problems
    assert problem.endswith("split val: images of a single colour: 5 (dark_0, dark_1, dark_2 and 2 more)")


def test_shards_that_are_not_read_are_named(folder):
    write(folder / "train-00003-of-00004.tfrecord")
    (problem,) = lint(folder)[0].problems
    assert problem.endswith("train-00003-of-00004.tfrecord: 1 shards beside a complete split are not read; remove them")


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
