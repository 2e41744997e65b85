"""Folders that hold FIFOs, sockets, links in a circle and names of every kind: one bad file costs only itself.

A FIFO would wait for ever for somebody who writes to it; a test that hangs is ended by its alarm.
"""

import os
import pathlib
import signal
import socket

import pytest

from deeplab import cli
from deeplab.config.inference import PredictConfig
from deeplab.data import catalog, tfrecord
from deeplab.data.building import builder, label_rules, linter, listing, survey
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.inference import export_folder, output_folder
from deeplab.pictures import images, video
from deeplab.programs import draw, predict
from helpers import fake_data

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
LONG = "l" * 246  # with ".png" as long as a name may be
SECONDS = 60


@pytest.fixture(autouse=True)
def alarm():
    def end(*_):
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def bind(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(".", os.O_RDONLY)
        os.chdir(path.parent)  # names of sockets are short
        try:
            server.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)


SPECIAL = {  # name: function that makes something of a path which is no readable image
    "fifo": os.mkfifo,
    "socket": bind,
    "device": lambda path: os.symlink("/dev/zero", path),
    "broken link": lambda path: os.symlink("nowhere", path),
    "link to itself": lambda path: os.symlink(path.name, path),
    "link to a fifo": lambda path: (os.mkfifo(path.with_suffix(".x")), os.symlink(path.with_suffix(".x"), path)),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The configuration of predict for the folder tmp_path/in with one good picture; the network is a stand-in."""
    network = predict.opening.Opened(lambda image: image[..., 0] // 100, None, catalog.Dataset("fake", 3), {"step": 5})
    monkeypatch.setattr(predict.opening, "open_checkpoint", lambda config: network)
    fake_data.save(fake_data.image(), tmp_path / "in" / "good.png")
    return PredictConfig(checkpoint_dir="unused", input=str(tmp_path / "in"), output=str(tmp_path / "out"))


def results(tmp_path):
    """Returns the sorted names of the class ids that were written."""
    names = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")]
    return sorted(name for name in names if not name.endswith("_overlay.png"))


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("suffix", [".png", ".mp4"])
def test_predict_passes_over_what_is_no_file(config, tmp_path, capsys, kind, suffix):
    SPECIAL[kind](tmp_path / "in" / f"bad{suffix}")
    assert predict.predict(config) == predict.EXIT_SOME_FAILED
    assert results(tmp_path) == ["good.png"]
    told = capsys.readouterr()
    assert told.err.count(f"bad{suffix}: ") == 1
    assert "Segmented 1 of 2 images" in told.out
    assert "1 failed, see above" in told.out


def test_a_folder_that_is_named_like_an_image_is_a_folder(config, tmp_path):
    fake_data.save(fake_data.image(), tmp_path / "in" / "x.jpg" / "y.png")
    os.symlink(tmp_path / "in", tmp_path / "in" / "x.jpg" / "up")
    assert predict.predict(config) == 0
    assert results(tmp_path) == ["good.png", "x.jpg/y.png"]


def test_a_folder_that_may_not_be_searched_costs_only_itself(config, tmp_path, monkeypatch, capsys):
    """The tests may run as root, who may search every folder."""
    fake_data.save(fake_data.image(), tmp_path / "in" / "locked" / "y.png")
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert predict.predict(config) == predict.EXIT_SOME_FAILED
    told = capsys.readouterr()
    assert "locked: cannot be searched for images (Permission denied)" in told.err
    assert "Segmented 1 of 2 images" in told.out
    with pytest.raises(UserError, match=r"--image_dir=.*locked cannot be searched \(Permission denied\)"):
        listing.files_by_name(config.input, "image_dir")


NAMES = {
    "not UTF-8": (b"caf\xe9.png", "caf_.png"),
    "control characters": (b"a\nb\x1b[31m.png", "a_b_[31m.png"),
    "as long as may be": (f"{LONG}.png".encode(), None),
    "as long, and two bytes a letter": (("é" * 123 + ".png").encode(), None),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gets_results(config, tmp_path, capsys, name):
    given, expected = NAMES[name]
    folder = os.fsencode(tmp_path / "in")
    content = (tmp_path / "in" / "good.png").read_bytes()
    os.mkdir(folder + b"/" + given[:-4])
    for path in (given, given[:-4] + b"/" + given):
        with open(folder + b"/" + path, "wb") as file:
            file.write(content)
    assert predict.predict(config) == 0
    found = results(tmp_path)
    assert len(found) == 3
    assert expected is None or expected in found
    assert all(len(part.encode()) <= 224 for path in found for part in path.split("/"))
    assert predict.predict(config) == 0
    told = capsys.readouterr()
    assert "3 finished before and skipped" in told.out
    assert (told.out + told.err).replace("\n", "").isprintable()


def test_bad_names_that_become_equal_stay_apart(config, tmp_path):
    content = (tmp_path / "in" / "good.png").read_bytes()
    for name in (b"x\xe8.png", b"x\xe9.png", b"x\n.png"):
        with open(os.fsencode(tmp_path / "in") + b"/" + name, "wb") as file:
            file.write(content)
    assert predict.predict(config) == 0
    assert results(tmp_path) == ["good.png", "x__png.png", "x__png_2.png", "x__png_3.png"]


def test_two_sources_of_one_name_get_two_results(config, tmp_path):
    """In one run, and when the second one comes later."""
    for name in ("a.jpg", "a.png"):
        fake_data.save(fake_data.image(), tmp_path / "in" / name)
    assert predict.predict(config) == 0
    assert results(tmp_path) == ["a_jpg.png", "a_png.png", "good.png"]
    before = (tmp_path / "out" / "good.png").read_bytes()
    fake_data.save(fake_data.image(seed=1), tmp_path / "in" / "good.jpg")
    assert predict.predict(config) == 0
    assert results(tmp_path) == ["a_jpg.png", "a_png.png", "good.png", "good_jpg.png"]
    assert (tmp_path / "out" / "good.png").read_bytes() == before


def test_files_that_vanish_or_change_after_they_were_found(config, tmp_path, monkeypatch, capsys):
    for name in ("gone", "cut"):
        fake_data.save(fake_data.image(), tmp_path / "in" / f"{name}.png")
    plan = output_folder.plan

    def planned(*arguments):
        jobs = plan(*arguments)
        (tmp_path / "in" / "gone.png").unlink()
        cut = tmp_path / "in" / "cut.png"
        cut.write_bytes(cut.read_bytes()[:100])
        return jobs

    monkeypatch.setattr(output_folder, "plan", planned)
    assert predict.predict(config) == predict.EXIT_SOME_FAILED
    assert results(tmp_path) == ["good.png"]
    told = capsys.readouterr().err
    assert "gone.png: cannot be read (No such file or directory)" in told
    assert "cut.png: not a readable image" in told


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if kind != "empty"])
def test_readers_of_found_files_never_wait(tmp_path, kind):
    path = str(tmp_path / "x.png")
    SPECIAL[kind](pathlib.Path(path))
    assert images.size(path) is None
    with pytest.raises(UserError, match=r"x\.png: cannot be read"):
        images.open_picture(path)
    with pytest.raises(UserError, match=r"x\.png: cannot be read"), video.read(path):
        pass
    with pytest.raises(OSError, match=r"not a regular file|No such|Too many levels"):
        paths.read_regular(path)


@pytest.mark.parametrize("kind", SPECIAL)
def test_builders_name_what_is_no_file(tmp_path, kind, capsys):
    pairs = fake_data.folders(tmp_path, 3)
    bad = pathlib.Path(pairs[1].image)
    bad.unlink()
    SPECIAL[kind](bad)
    found = listing.files_by_name(str(tmp_path / "images"), "image_dir")
    assert len(found) == 3
    build = fake_data.BuildTo(str(tmp_path / "shards"), skip_bad=True)
    builder.build({"train": pairs}, catalog.Dataset("fake", 3), label_rules.LabelRules(3), build)
    told = capsys.readouterr().out
    assert "1 left out (--skip_bad):" in told
    assert f"{bad}: " in told
    assert "train: 2 images" in told
    assert survey.inspect([str(bad)]).kinds["unreadable"] == 1


def test_builders_name_a_file_whose_name_is_no_text(tmp_path, capsys):
    pairs = fake_data.folders(tmp_path, 2)
    for pair in pairs[:1]:
        for path in (pair.image, pair.label):
            os.rename(path, os.fsencode(path).replace(b"img_0", b"caf\xe9"))
    files = [listing.files_by_name(str(tmp_path / kind), "image_dir") for kind in ("images", "labels")]
    build = fake_data.BuildTo(str(tmp_path / "shards"), skip_bad=True)
    pairs = listing.all_pairs(*files)
    builder.build({"train": pairs}, catalog.Dataset("fake", 3), label_rules.LabelRules(3), build)
    told = capsys.readouterr().out
    assert "1 left out (--skip_bad):" in told
    assert r"caf\udce9.jpg: its name is not UTF-8" in told


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "link to itself", "empty"])
def test_the_linter_and_the_versions_of_exports_pass_over_what_is_no_file(tmp_path, kind):
    folder = pathlib.Path(fake_data.shards(tmp_path, {"train": 3}))
    path = folder / tfrecord.shard_name("val", 0, 1)
    SPECIAL[kind](path)
    found = linter.lint(str(folder), catalog.Dataset("fake", 3), 1)
    assert found.counts["train"] == 3
    assert kind == "empty" or any(path.name in problem for problem in found.problems)
    SPECIAL[kind](folder / "7")
    assert export_folder.newest(str(folder)) is None


def test_pictures_of_records_of_one_name_stay_apart():
    taken = set()
    names = ["a/b.jpg", "a/b.png", "../a/b", "x\n\x1b[1m", "", "é" * 200]
    made = [draw._png_name(name, taken) for name in names]
    assert made[:5] == ["a/b.png", "a/b_2.png", "a/b_3.png", "x__[1m.png", "_.png"]
    assert len(made[5].encode()) < 240


def test_messages_never_fail_on_names(tmp_path, capsys):
    from helpers.options import Outer

    with pytest.raises(SystemExit):
        cli.main(lambda _: _raise(), Outer, ["program"], uses_tensorflow=False)
    assert capsys.readouterr().err == "error: caf\\udce9 \\x1b[31m: red\nsecond line\n"


def _raise():
    raise UserError("caf\udce9 \x1b[31m: red\nsecond line")
