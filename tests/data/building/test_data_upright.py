"""Photographs that a phone stored turned: builders store them upright, with labels drawn either way."""

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.data import catalog, tfrecord
from deeplab.data.building import builder, label_rules, linter, upright
from deeplab.data.building.label_rules import LabelRules
from deeplab.data.building.listing import Pair
from deeplab.data.building.worker import make_record
from deeplab.data.pipeline import eval_examples
from deeplab.data.source import open_split
from deeplab.pictures import images
from helpers import fake_data

PICTURE, LABEL = fake_data.image(), fake_data.label()
ORIENTATIONS = range(1, 9)
SIDEWAYS = range(5, 9)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def shown(array, orientation):
    """Returns the array as a viewer shows it, which `deeplab.predict` does, too."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", exif=exif(orientation))
    turned = images.decode(file.getvalue(), "picture")
    return turned if array.ndim == 3 else turned[..., 0]


def pair(folder, name, orientation, label, extension="png", picture=PICTURE):
    image = fake_data.save(picture, folder / f"{name}.{extension}", exif=exif(orientation))
    return Pair(name, image, fake_data.save(label, folder / "labels" / f"{name}.png"))


@pytest.mark.parametrize("extension", ["png", "jpg"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_stored_is_what_predict_sees(orientation, extension, tmp_path):
    files = pair(tmp_path, "a", orientation, shown(LABEL, orientation), extension)
    item = make_record(files, LabelRules(3))
    assert (item.problem, item.size) == ("", shown(PICTURE, orientation).shape[:2])
    stored = Image.open(io.BytesIO(item.image))
    assert (stored.format.lower(), upright.orientation(stored)) == (item.image_format, 1)
    assert item.image_format == {"png": "png", "jpg": "jpeg"}[extension]
    difference = np.abs(np.asarray(stored).astype(int) - images.open_picture(files.image).pixels)
    assert difference.max() <= (0 if extension == "png" or orientation == 1 else 6)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(item.label))), shown(LABEL, orientation))
    assert (item.turned is None) == (orientation == 1)


@pytest.mark.parametrize("orientation", SIDEWAYS)
def test_labels_drawn_on_the_stored_pixels_are_turned_along(orientation, tmp_path):
    item = make_record(pair(tmp_path, "a", orientation, LABEL), LabelRules(3))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(item.label))), shown(LABEL, orientation))
    assert item.turned == upright.Turned(str(tmp_path / "a.png"), upright.AS_STORED)


def test_labels_of_another_size_are_refused_with_the_size_that_is_shown(tmp_path):
    item = make_record(pair(tmp_path, "a", 6, fake_data.label(40, 64)), LabelRules(3))
    assert "image is 48x64, label 64x40" in item.problem


def test_the_builder_says_what_it_turned(tmp_path, capsys):
    pairs = [
        pair(tmp_path, "shown", 6, shown(LABEL, 6), "jpg"),
        pair(tmp_path, "stored", 8, LABEL, "jpg"),
        *(pair(tmp_path, f"either_{i}", 3, LABEL) for i in range(7)),
        pair(tmp_path, "plain", 1, LABEL, "jpg"),
    ]
    folder = str(tmp_path / "shards")
    builder.build({"train": pairs}, catalog.Dataset("fake", 3), LabelRules(3), fake_data.BuildTo(folder))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"train: 10 images in {folder}"
    assert lines[1].startswith("  9 of them turned upright")
    assert lines[2].startswith("  labels of the size before turning, which were turned, too: 1 (")
    assert lines[2].endswith("stored.jpg)")
    assert lines[3].startswith("  labels that fit both ways and were taken as upright: 7 (")
    assert "either_4.png and 2 more); if that is wrong" in lines[3]
    assert len(lines) == 4
    sizes = {e["filename"].numpy().decode(): e["label"].shape[:2] for e in eval_examples(open_split(folder, "train"))}
    assert sizes["shown"] == sizes["stored"] == (64, 48)
    assert sizes["plain"] == sizes["either_0"] == (48, 64)
    assert linter.lint(folder, catalog.load(folder), 0).problems == []


def test_the_linter_tells_of_pictures_that_other_builders_left_turned(tmp_path):
    files = pair(tmp_path, "a", 6, LABEL, "jpg")
    content, label = (pathlib.Path(path).read_bytes() for path in files[1:])
    record = tfrecord.serialize(tfrecord.Example("a", content, "jpeg", label, 48, 64))
    with tf.io.TFRecordWriter(str(tmp_path / "train-00000-of-00001.tfrecord")) as writer:
        writer.write(record)
    (problem,) = linter.lint(str(tmp_path), catalog.Dataset("fake", 3), 0).problems
    assert "a: EXIF orientation 6, which training ignores" in problem


def test_a_phone_s_jpeg_with_more_pictures_stays_a_jpeg():
    file = io.BytesIO()
    first, second = (Image.fromarray(fake_data.image(seed=i)) for i in range(2))
    first.save(file, "MPO", save_all=True, append_images=[second])
    record = label_rules.stored_image(file.getvalue())
    assert record[:3] == (file.getvalue(), "jpeg", (48, 64))


def test_transparency_is_laid_on_white_as_in_predict():
    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG", transparency=tuple(PICTURE[0, 0].tolist()))
    stored = np.asarray(Image.open(io.BytesIO(label_rules.stored_image(file.getvalue()).data)))
    np.testing.assert_array_equal(stored, images.decode(file.getvalue(), "picture"))
    assert (stored[0, 0] == 255).all()
