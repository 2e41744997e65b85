"""Segmenting files: every kind of image, with a checkpoint or an export; bad files stop nothing."""

import fake_data
import numpy as np
import pytest
import small_training
from PIL import Image

import deeplab
from deeplab import images
from deeplab.config.export import ExportConfig
from deeplab.config.inference import PredictConfig
from deeplab.export import export
from deeplab.predict import predict

pytestmark = pytest.mark.usefixtures("short_mobilenet")

PHOTO = fake_data.image(40, 56)


def config(tmp_path, **changes):
    settings = {"checkpoint_dir": small_training.logdir(), "input": str(tmp_path / "in")}
    return PredictConfig(**{**settings, "output": str(tmp_path / "out"), **changes})


def ids(tmp_path, name):
    with Image.open(tmp_path / "out" / f"{name}.png") as image:
        return np.asarray(image)


def test_a_folder_with_good_and_bad_files(tmp_path, capsys):
    fake_data.save(PHOTO, tmp_path / "in" / "photo.png")
    fake_data.save(PHOTO, tmp_path / "in" / "twin.png")
    fake_data.save(PHOTO[:20], tmp_path / "in" / "twin.jpg")
    (tmp_path / "in" / "cut.jpg").write_bytes((tmp_path / "in" / "twin.jpg").read_bytes()[:300])
    (tmp_path / "in" / "text.png").write_text("no image")
    (tmp_path / "in" / "readme.txt").write_text("not even a name of one")
    assert predict(config(tmp_path)) == 1
    said = capsys.readouterr()
    assert "Segmented 3 of 5 images" in said.out
    assert "cut.jpg: not a readable image" in said.err
    assert "text.png: not a readable image" in said.err
    model = deeplab.load(small_training.logdir()).model
    np.testing.assert_array_equal(ids(tmp_path, "photo"), deeplab.predict_labels(model, PHOTO[None])[0][0])
    assert ids(tmp_path, "photo_overlay").shape == PHOTO.shape
    assert ids(tmp_path, "twin_jpg").shape == (20, 56)
    np.testing.assert_array_equal(ids(tmp_path, "twin_png"), ids(tmp_path, "photo"))


def test_an_export_gives_the_same_ids(tmp_path):
    path = fake_data.save(PHOTO, tmp_path / "in" / "photo.png")
    export(ExportConfig(checkpoint_dir=small_training.logdir(), export_path=str(tmp_path / "export")))
    assert predict(config(tmp_path, input=path)) == 0
    expected = ids(tmp_path, "photo")
    settings = {"checkpoint_dir": None, "saved_model": str(tmp_path / "export")}  # its newest version
    assert predict(config(tmp_path, output=str(tmp_path / "out"), **settings)) == 0
    np.testing.assert_array_equal(ids(tmp_path, "photo"), expected)


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees
    Image.fromarray(PHOTO).save(path, exif=exif)


@pytest.mark.parametrize(
    ("suffix", "write", "expected"),
    [
        ("png", lambda path: Image.fromarray(PHOTO).save(path), PHOTO),
        ("png", lambda path: Image.fromarray(PHOTO[..., 0]).save(path), np.stack([PHOTO[..., 0]] * 3, -1)),
        ("png", lambda path: Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257).save(path), PHOTO[..., :1]),
        ("png", rotated, np.rot90(PHOTO, -1)),
        ("tiff", lambda path: Image.fromarray(PHOTO).convert("CMYK").save(path), PHOTO),
        ("png", lambda path: Image.new("RGBA", (5, 4), (9, 9, 9, 0)).save(path), np.full((4, 5, 3), 255)),
        ("gif", lambda path: Image.fromarray(PHOTO).convert("P").save(path), None),
        ("png", lambda path: Image.new("1", (1, 1)).save(path), np.zeros((1, 1, 3))),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, suffix, write, expected):
    path = str(tmp_path / f"file.{suffix}")
    write(path)
    image = images.read(path)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    if expected is not None:
        np.testing.assert_array_equal(image, np.broadcast_to(expected, image.shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "nowhere/*.jpg"}, "--input=nowhere"),
        ({"saved_model": "export"}, "one of the two"),
        ({"checkpoint_dir": "nowhere"}, "checkpoint_dir=nowhere"),
        ({"checkpoint_dir": None, "saved_model": "nowhere"}, "--saved_model=nowhere: no SavedModel"),
    ],
)
def test_bad_input_is_one_line(tmp_path, changes, message):
    fake_data.save(PHOTO, tmp_path / "in" / "photo.png")
    with pytest.raises(deeplab.UserError, match=message) as error:
        predict(config(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_huge_images_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(deeplab.UserError, match="56x40 pixels; more than 100 are refused"):
        images.read(fake_data.save(PHOTO, tmp_path / "large.png"))
