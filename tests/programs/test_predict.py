"""Segmenting files: every kind of image and videos, with a checkpoint or an export; bad files stop nothing."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab.config.inference import PassesConfig, PredictConfig, TilesConfig
from deeplab.data.building import label_rules, survey
from deeplab.files import paths
from deeplab.inference import batch_size, batches, output_folder, side_by_side
from deeplab.pictures import drawing
from deeplab.predict import predict
from deeplab.programs import predict as program
from helpers import fake_data, small_export, small_training, videos
from helpers.places import ROOT

pytestmark = pytest.mark.usefixtures("short_mobilenet")

LIKE_A_GPU = side_by_side.Limits(threads=3, images=18, pixels=2**26, window=16, early_pixels=2**26)
PHOTO = fake_data.image(40, 56)


KILLED = """
import os, signal, sys
from deeplab.config.inference import PredictConfig
from deeplab.data import catalog
from deeplab.inference import side_by_side
from deeplab.pictures import drawing
from deeplab.programs import predict
network = predict.opening.Opened(lambda image: image[..., 0] // 100, None, catalog.Dataset("fake", 3), {"step": 5})
predict.opening.open_checkpoint = lambda config: network
side_by_side.limits = lambda most: side_by_side.Limits(4, 16, 2**26, 8, 2**26)
save, count = drawing.save_png, []
def save_png(path, *how):
    save(path, *how)
    count.append(path)
    if len(count) > 30 and len(sys.argv) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
drawing.save_png = save_png
sys.exit(predict.predict(PredictConfig(checkpoint_dir="unused", input=sys.argv[1], output=sys.argv[2])))
"""  # two arguments: dies; three: goes on


def config(tmp_path, **changes):
    settings = {"checkpoint_dir": small_training.logdir(), "input": str(tmp_path / "in")}
    return PredictConfig(**{**settings, "output": str(tmp_path / "out"), **changes})


def ids(tmp_path, name):
    with Image.open(tmp_path / "out" / f"{name}.png") as image:
        return np.asarray(image)


def names(tmp_path):
    """Returns the paths of all results below the output folder."""
    out = tmp_path / "out"
    results = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    return sorted(name for name in results if name != "predict.json")


def all_kinds(folder):
    """Writes images of every kind and damaged ones; returns {name: (height, width) of its labels, None: refused}."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees
    picture = Image.fromarray(PHOTO)
    good = {
        "colour.png": (picture, {}),
        "sixteen_bit.png": (Image.fromarray(PHOTO[..., 0].astype(np.uint16) * 257), {}),
        "grey.jpg": (picture.convert("L"), {}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "alpha.png": (picture.convert("RGBA"), {}),
        "turned.jpg": (picture, {"exif": exif}),
        "one_pixel.png": (Image.new("RGB", (1, 1)), {}),
    }
    sizes = {**dict.fromkeys(good, (40, 56)), "turned.jpg": (56, 40), "one_pixel.png": (1, 1)}
    folder.mkdir()
    for name, (image, options) in good.items():
        image.save(folder / name, **options)
    (folder / "cut.png").write_bytes((folder / "colour.png").read_bytes()[:500])
    (folder / "cut.jpg").write_bytes((folder / "turned.jpg").read_bytes()[:400])
    (folder / "text.jpg").write_text("no image")
    return {**sizes, "cut.png": None, "cut.jpg": None, "text.jpg": None}


@pytest.mark.slow
def test_a_folder_with_every_kind_of_image(tmp_path, capsys):
    sizes = all_kinds(tmp_path / "in")
    (tmp_path / "in" / "readme.txt").write_text("not even a name of one")
    assert predict(config(tmp_path)) == 1
    said = capsys.readouterr()
    assert "Segmented 7 of 10 images" in said.out
    assert "3 failed, see above" in said.out
    assert "note: left out 1 file of another kind (1 .txt), for example" in said.err
    assert "note: 1 image has more than 8 bits per value" in said.err
    for name, size in sizes.items():
        if size is None:
            assert f"{name}: not a readable image" in said.err
        else:
            assert ids(tmp_path, name.partition(".")[0]).shape == size
            assert ids(tmp_path, f"{name.partition('.')[0]}_overlay").shape == (*size, 3)
    assert len(names(tmp_path)) == 2 * 7
    model = deeplab.load(small_training.logdir()).model
    np.testing.assert_array_equal(ids(tmp_path, "colour"), deeplab.predict_labels(model, PHOTO[None])[0][0])
    np.testing.assert_array_equal(ids(tmp_path, "alpha"), ids(tmp_path, "colour"))


@pytest.mark.slow
def test_probabilities_of_a_checkpoint_and_of_an_export(tmp_path):
    path = fake_data.save(PHOTO, tmp_path / "in" / "photo.png")
    version = small_export.run(tmp_path / "export")
    export = {"checkpoint_dir": None, "saved_model": str(tmp_path / "export")}  # its newest version
    for output, changes in (("tiles", {"tiles": TilesConfig((33, 33), 16)}), ("export", export), ("out", {})):
        changes = {**changes, "input": path, "save_probabilities": True}
        assert predict(config(tmp_path, **{**changes, "output": str(tmp_path / output)})) == 0
        with np.load(tmp_path / output / "photo.npz") as stored:
            probabilities = stored["probabilities"]
        assert probabilities.shape == (*PHOTO.shape[:2], small_training.CLASSES)
        assert probabilities.dtype == np.float16
        np.testing.assert_allclose(probabilities.sum(-1, dtype=np.float32), 1, atol=2e-3)
        with Image.open(tmp_path / output / "photo.png") as image:
            assert np.mean(np.asarray(image) == probabilities.argmax(-1)) > 0.99  # but for ties in 16 bits
    assert version.name == "1"
    with Image.open(tmp_path / "export" / "photo.png") as image:
        assert np.mean(np.asarray(image) == ids(tmp_path, "photo")) > 0.99


@pytest.fixture
def of_export(tmp_path):
    small_export.run(tmp_path / "export")
    return {"checkpoint_dir": None, "saved_model": str(tmp_path / "export")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["checkpoint", "two passes", "shrunk", "export"])
def test_batches_give_the_labels_of_images_alone(tmp_path, monkeypatch, request, capsys, kind):
    """Images of two padded sizes in turn, one of them damaged; what a GPU does with them is traced on the CPU."""
    sizes = [(40, 56), (33, 49), (60, 40), (40, 50), (40, 56)] * 3
    for number, size in enumerate(sizes):
        fake_data.save(fake_data.image(*size, number), tmp_path / "in" / f"{number:02}.png")
    (tmp_path / "in" / "07.png").write_bytes((tmp_path / "in" / "07.png").read_bytes()[:200])
    changes = {
        "checkpoint": {},
        "two passes": {"passes": PassesConfig((0.75, 1.25), True)},
        "shrunk": {"input_size": "33,33"},
        "export": request.getfixturevalue("of_export") if kind == "export" else {},
    }[kind]
    monkeypatch.setattr(batch_size.hardware, "is_accelerated", lambda: True)
    assert predict(config(tmp_path, **{**changes, "output": str(tmp_path / "alone"), "batch_size": 1})) == 1
    assert "on a GPU" not in capsys.readouterr().err
    seen = []
    fetch = batches._fetch
    monkeypatch.setattr(side_by_side, "limits", lambda most: LIKE_A_GPU._replace(images=most + 2))
    monkeypatch.setattr(batches, "_fetch", lambda *given: seen.append(len(given[1])) or fetch(*given))
    assert predict(config(tmp_path, **changes)) == 1
    said = capsys.readouterr()
    assert "images of one size are segmented in batches" in said.err
    assert "07.png: not a readable image" in said.err
    assert max(seen) > 1
    for number, size in enumerate(sizes):
        if number != 7:
            with Image.open(tmp_path / "alone" / f"{number:02}.png") as image:
                np.testing.assert_array_equal(ids(tmp_path, f"{number:02}"), np.asarray(image))
                assert image.size == size[::-1]


@pytest.fixture
def colours(monkeypatch):
    """Replaces the network by one that looks at red only; returns its settings, which a test may change."""
    settings = {"checkpoint": "model.ckpt-5", "step": 5}

    def labels(image):
        return (image[..., 0] // 100).astype(np.int32)

    network = program.opening.Opened(labels, None, small_training.dataset(), settings)
    monkeypatch.setattr(program.opening, "open_checkpoint", lambda config: network)
    return settings


def saved(tmp_path, *files, value=0):
    for name in files:
        fake_data.save(np.full((4, 6, 3), value, np.uint8), tmp_path / "in" / name)


def test_what_is_finished_is_skipped(tmp_path, colours, capsys):
    saved(tmp_path, "a.png", "b.jpg", "c.png")
    predict(config(tmp_path))
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path)}
    (tmp_path / "out" / "b_overlay.png").unlink()
    assert predict(config(tmp_path)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert "Segmented 1 of 3 images" in last
    assert "2 finished before and skipped (--overwrite does them again)" in last
    changed = {name for name in names(tmp_path) if (tmp_path / "out" / name).stat().st_mtime_ns != before[name]}
    assert changed == {"b.png", "b_overlay.png"}
    saved(tmp_path, "c.png", value=250)
    assert predict(config(tmp_path)) == 0
    assert ids(tmp_path, "c").min() == 2  # another picture in its place is done anew
    predict(config(tmp_path))
    assert "Segmented 0 of 3 images" in capsys.readouterr().out.splitlines()[-1]
    predict(config(tmp_path, overwrite=True))
    assert "Segmented 3 of 3 images" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(("option", "kind"), [("save_frames", "video"), ("save_probabilities", "image")])
def test_options_for_inputs_that_are_not_there_are_told(tmp_path, colours, capsys, option, kind):
    if kind == "video":
        saved(tmp_path, "a.png")
    else:
        (tmp_path / "in").mkdir()
        videos.make(tmp_path / "in" / "film.mp4", [PHOTO])
    predict(config(tmp_path, **{option: True}))
    assert f"note: --{option} has no effect, because there is no {kind} among the inputs" in capsys.readouterr().err
    predict(config(tmp_path, overwrite=True))
    assert "has no effect" not in capsys.readouterr().err


def test_results_of_another_network_are_not_mixed(tmp_path, colours):
    saved(tmp_path, "a.png", "b.png")
    predict(config(tmp_path))
    colours["step"] = 6
    with pytest.raises(deeplab.UserError, match=r"made with step=5, now it is step=6; name another --output"):
        predict(config(tmp_path))
    colours["network.output_stride"], colours["step"] = 16, 5
    with pytest.raises(deeplab.UserError, match=r"made with network.output_stride=default, now it is .*=16; name"):
        predict(config(tmp_path))
    predict(config(tmp_path, input=str(tmp_path / "in" / "a.png"), overwrite=True))
    predict(config(tmp_path))  # b was not done again, so its old results stay as they are, under a name of their own
    assert names(tmp_path) == ["a.png", "a_overlay.png", "b.png", "b_overlay.png", "b_png.png", "b_png_overlay.png"]


def test_a_run_that_breaks_off_leaves_whole_files_only(tmp_path, colours, monkeypatch):
    saved(tmp_path, "a.png", "b.png")

    def full_disk(path, picture, palette=None):
        if path.endswith("b.png"):
            raise OSError("no space")
        save_png(path, picture, palette)

    save_png = drawing.save_png
    monkeypatch.setattr(drawing, "save_png", full_disk)
    with pytest.raises(OSError, match="no space"):
        predict(config(tmp_path))
    monkeypatch.undo()
    assert names(tmp_path) == ["a.png", "a_overlay.png", "b_overlay.png"]


def test_a_process_that_is_killed_leaves_whole_files_and_the_next_goes_on(tmp_path):
    """The process is killed while several threads write; a file is whole or not there, and nothing is done twice."""
    saved(tmp_path, *(f"{number:03}.png" for number in range(40)))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "in"), str(tmp_path / "out")]
    killed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {
        name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path) if "unfinished" not in name
    }
    assert 0 < len(before) < 80
    for name in before:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
    again = subprocess.run([*command, "go on"], cwd=ROOT, check=True, capture_output=True, text=True)
    finished = [stem for stem in {name[:3] for name in before} if {f"{stem}.png", f"{stem}_overlay.png"} <= set(before)]
    assert f"Segmented {40 - len(finished)} of 40 images" in again.stdout
    for stem in finished:
        assert (tmp_path / "out" / f"{stem}.png").stat().st_mtime_ns == before[f"{stem}.png"]
    assert {f"{number:03}.png" for number in range(40)} <= set(names(tmp_path))


def test_results_never_replace_one_another(tmp_path, colours):
    saved(tmp_path, "x.png", "x.jpg", "y.png", "y_overlay.png", "z.png", "z_png.jpg", value=0)
    saved(tmp_path, "y_overlay.png", value=250)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "z.png").write_text("of somebody else")
    predict(config(tmp_path))
    predict(config(tmp_path))
    saved(tmp_path / "elsewhere", "y.png", value=150)
    predict(config(tmp_path, input=str(tmp_path / "elsewhere" / "in" / "y.png")))
    stems = ["x_jpg", "x_png", "y", "y_overlay_png", "z_png", "z_png_jpg", "y_png"]
    assert names(tmp_path) == sorted(["z.png", *(f"{stem}{kind}.png" for stem in stems for kind in ("", "_overlay"))])
    assert (tmp_path / "out" / "z.png").read_text() == "of somebody else"
    assert [ids(tmp_path, name).max() for name in ("y", "y_overlay_png", "y_png")] == [0, 2, 1]


def test_folders_keep_their_places_and_an_old_output_folder_goes_on(tmp_path, colours, capsys):
    saved(tmp_path, "x.png", "2024/x.png", "2024/may/x.jpg", "2024/may/x.png", ".hidden/x.png")
    (tmp_path / "in" / "2024" / "bad.png").write_text("no image")
    (tmp_path / "in" / "only_bad").mkdir()
    (tmp_path / "in" / "only_bad" / "bad.png").write_text("no image")
    top = str(tmp_path / "in" / "x.png")
    predict(config(tmp_path, input=top))  # as the versions before wrote it, which did not look into folders
    time = (tmp_path / "out" / "x.png").stat().st_mtime_ns
    assert predict(config(tmp_path)) == 1
    stems = ("2024/may/x_jpg", "2024/may/x_png", "2024/x", "x")
    assert names(tmp_path) == sorted(f"{stem}{kind}.png" for stem in stems for kind in ("", "_overlay"))
    assert (tmp_path / "out" / "x.png").stat().st_mtime_ns == time
    assert not (tmp_path / "out" / "only_bad").exists()
    assert "Segmented 3 of 6 images" in capsys.readouterr().out
    (tmp_path / "out" / "2024" / "may" / "x_png.png").unlink()
    predict(config(tmp_path))
    said = capsys.readouterr()
    assert "Segmented 1 of 6 images" in said.out
    assert "3 finished before and skipped" in said.out
    assert "2 failed" in said.out
    assert len(names(tmp_path)) == 8


@pytest.mark.parametrize("name", ["", "../in/x", "/x", "a/../../x"])
def test_a_record_that_leads_out_of_the_folder_is_refused(tmp_path, colours, name):
    saved(tmp_path, "x.png")
    predict(config(tmp_path))
    record = tmp_path / "out" / "predict.json"
    record.write_text(record.read_text().replace('"name": "x"', f'"name": "{name}"'))
    with pytest.raises(deeplab.UserError, match=r"predict\.json: not a record of"):
        predict(config(tmp_path))


def test_folders_never_replace_results_or_files(tmp_path, colours):
    saved(tmp_path, "a.jpg", "a.png/b.png", "notes/c.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").write_text("of somebody else")
    for _ in range(2):
        predict(config(tmp_path))
    saved(tmp_path, "a_jpg.png/d.png")
    predict(config(tmp_path))
    stems = ("a.png/b", "a_jpg", "a_jpg.png_2/d", "notes_2/c")
    assert names(tmp_path) == sorted(["notes", *(f"{stem}{kind}.png" for stem in stems for kind in ("", "_overlay"))])


def test_an_output_folder_below_the_input_is_not_searched(tmp_path, colours, capsys):
    saved(tmp_path, "a.png", "sub/b.png")
    for _ in range(2):
        predict(config(tmp_path, output=str(tmp_path / "in" / "first")))
        said = capsys.readouterr()
        assert " of 2 images" in said.out
        assert not said.err
    predict(config(tmp_path, output=str(tmp_path / "in" / "second")))
    said = capsys.readouterr()
    assert "Segmented 2 of 2 images" in said.out
    assert "left out 1 folder with results of predict, for example" in said.err
    with pytest.raises(deeplab.UserError, match=r"--output=.*b\.png lies in it"):
        predict(config(tmp_path, input=str(tmp_path / "in" / "sub"), output=str(tmp_path / "in" / "sub")))


def test_masks_show_the_classes_and_hold_the_ids(tmp_path, colours, capsys):
    for red in (0, 150, 250):
        saved(tmp_path, f"{red}.png", value=red)
    frames = {"save_all": True, "append_images": [Image.new("RGB", (6, 4))]}
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "in" / "moving.gif", **frames)
    predict(config(tmp_path))
    assert [ids(tmp_path, str(red)).item(0) for red in (0, 150, 250)] == [0, 1, 2]
    with Image.open(tmp_path / "out" / "150.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (200, 30, 30)
    masks = [str(tmp_path / "out" / f"{red}.png") for red in (0, 150, 250)]
    assert survey.label_format(survey.inspect(masks), 3) == "palette"  # what --label_format=auto of the builder takes
    rules = label_rules.LabelRules(3, format="palette")
    assert [label_rules.read_label(paths.read(mask), rules).max() for mask in masks] == [0, 1, 2]
    told = capsys.readouterr().err
    assert "note: 1 image has further pages or frames, of which only the first was used, for example" in told


@pytest.mark.slow
def test_large_photographs(tmp_path, colours):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (4000, 3000), (220, 120, 60)).save(tmp_path / "in" / "large.jpg")
    assert predict(config(tmp_path)) == 0
    assert ids(tmp_path, "large").shape == ids(tmp_path, "large_overlay").shape[:2] == (3000, 4000)
    assert ids(tmp_path, "large").min() == 2


def test_the_folder_of_the_inputs_is_no_output(tmp_path, colours):
    saved(tmp_path, "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in (tmp_path / "in", tmp_path / "link", tmp_path / "x" / ".." / "in"):
        with pytest.raises(deeplab.UserError, match=r"--output=.*a\.png lies in it"):
            predict(config(tmp_path, output=str(output)))
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.png"]


@pytest.mark.slow
def test_videos_come_out_with_as_many_frames(tmp_path, colours, capsys):
    saved(tmp_path, "photo.png")
    frames = [np.full((47, 64, 3), 42 * i, np.uint8) for i in range(6)]
    videos.make(tmp_path / "in" / "film.mp4", frames)
    videos.make(tmp_path / "in" / "photo.avi", frames)
    (tmp_path / "in" / "bad.mov").write_text("no video")
    assert predict(config(tmp_path, save_frames=True)) == 1
    said = capsys.readouterr()
    assert "bad.mov: not a readable video" in said.err
    assert "Segmented 3 of 4 images" in said.out
    assert names(tmp_path) == [
        *("film.mp4", *(f"film_frames/{number:06}.png" for number in range(6))),
        *("photo_avi.mp4", *(f"photo_avi_frames/{number:06}.png" for number in range(6))),
        *("photo_png.png", "photo_png_overlay.png"),
    ]
    pictures, _times, rate = videos.seen(tmp_path / "out" / "film.mp4")
    assert (len(pictures), rate, pictures[0].shape) == (6, 25, (47, 64, 3))
    with Image.open(tmp_path / "out" / "film_frames" / "000005.png") as image:
        assert image.getpalette()[6:9] == [30, 30, 200]
    found = [ids(tmp_path, f"film_frames/{number:06}").item(0) for number in range(6)]
    assert found == [0, 0, 0, 1, 1, 2]
    assert predict(config(tmp_path)) == 1
    assert "Segmented 0 of 4 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "nowhere/*.jpg"}, "--input=nowhere"),
        ({"saved_model": "export"}, "one of the two"),
        ({"checkpoint_dir": "nowhere"}, "checkpoint_dir=nowhere"),
        ({"checkpoint_dir": None, "saved_model": "nowhere"}, "--saved_model=nowhere: no SavedModel"),
        ({"checkpoint_dir": None, "saved_model": "export", "tiles": TilesConfig((65, 65))}, "beside --saved_model"),
    ],
)
def test_bad_input_is_one_line(tmp_path, changes, message):
    fake_data.save(PHOTO, tmp_path / "in" / "photo.png")
    with pytest.raises(deeplab.UserError, match=message) as error:
        predict(config(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_a_record_of_before_that_holds_paths_is_read_and_replaced_by_one_that_holds_none(tmp_path, colours, capsys):
    colours["checkpoint"] = output_folder.network_name(f"{tmp_path}/run/model.ckpt-5")
    saved(tmp_path, "a.png", "b.png")
    predict(config(tmp_path))
    record = tmp_path / "out" / "predict.json"
    now = json.loads(record.read_text())
    assert str(tmp_path) not in record.read_text()
    places = {key: f"{tmp_path}/in/{entry['name']}.png" for key, entry in now["files"].items()}
    before = {
        "settings": {**now["settings"], "checkpoint": f"{tmp_path}/run/model.ckpt-5"},
        "files": {places[key]: entry for key, entry in now["files"].items()},
    }
    record.write_text(json.dumps({"format": 1, **before}))
    capsys.readouterr()
    predict(config(tmp_path))
    assert "Segmented 0 of 2 images" in capsys.readouterr().out
    assert json.loads(record.read_text()) == now
    colours["checkpoint"] = output_folder.network_name(f"{tmp_path}/other/run/model.ckpt-5")
    with pytest.raises(deeplab.UserError, match=r"was made with checkpoint=\w+#run/model\.ckpt-5, now it is"):
        predict(config(tmp_path))
