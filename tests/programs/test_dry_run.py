"""--dry_run of train, eval and export: the checks of the real command, a few steps, and nothing written."""

import os
import re
import shutil

import pytest

from deeplab import UserError, cli
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig
from deeplab.config.training import TrainConfig
from deeplab.eval import evaluate
from deeplab.export import export
from deeplab.files import locks, room
from deeplab.programs import train as program
from deeplab.train import train
from helpers import fake_data, small_training

pytestmark = pytest.mark.usefixtures("shortest_mobilenet")
SMALL = "--train_crop_size=33,33 --train_batch_size=2 --depth_multiplier=0.25 --training_number_of_steps=400"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return fake_data.shards(tmp_path_factory.mktemp("data"), {"train": 4, "val": 2})


@pytest.fixture
def unchanged(shards, tmp_path):
    """Fails if a test has changed its folder, the shards or the working directory."""
    folders = (tmp_path, os.path.dirname(shards), small_training.logdir(), os.getcwd())
    before = [tree(folder) for folder in folders]
    yield
    assert [tree(folder) for folder in folders] == before


def tree(folder):
    """Returns {path: (size, time of the last change)} of all files and folders below `folder`, caches left out."""
    return {
        path: (status.st_size, status.st_mtime_ns)
        for above, folders, files in os.walk(folder)
        for path in (os.path.join(above, name) for name in (*folders, *files))
        if not re.search(r"/\.|__pycache__", path)
        for status in (os.lstat(path),)
    }


def rehearse(shards, logdir, *flags):
    flags = (f"--train_logdir={logdir}", f"--dataset_dir={shards}", *SMALL.split(), "--dry_run", *flags)
    return train(cli.read(TrainConfig, ["train", *flags]))


@pytest.mark.slow
def test_train_takes_a_few_steps_and_writes_nothing(shards, tmp_path, unchanged, capsys):
    assert rehearse(shards, tmp_path / "run", "--eval_interval_steps=100", "--jit_compile=false") is None
    said = capsys.readouterr().out
    assert re.search(r"^Parameters: [\d,]+ that are trained$", said, re.MULTILINE)
    assert re.search(r"^Memory: at most [\d.]+ [MG]B of this process$", said, re.MULTILINE)
    assert re.search(r"^Disk: about [\d.]+ MB of the [\d.]+ [MG]B that are left on the disk of ", said, re.MULTILINE)
    assert re.search(r"images/s, \d+:\d\d:\d\d \(h:mm:ss\) for the 400 steps from 0 to 400; 4 evaluations on val", said)
    assert said.endswith("Nothing was written; the same command without --dry_run trains\n")


@pytest.mark.slow
def test_train_refuses_what_the_training_would_refuse(shards, tmp_path, unchanged, monkeypatch):
    def refused(*flags, logdir=tmp_path / "run", folder=shards):
        with pytest.raises(UserError) as dry:
            rehearse(folder, logdir, *flags)
        return str(dry.value)

    assert "focal_gamma=5.0: has no effect" in refused("--focal_gamma=5")
    assert "nowhere" in refused("--train_split=nowhere")
    assert "nowhere" in refused(folder=str(tmp_path / "nowhere"))
    assert "no_such" in refused("--tf_initial_checkpoint=no_such")
    assert f"--train_logdir={__file__}/run: {__file__} is a file" in refused(logdir=f"{__file__}/run")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 1000))
    assert re.search(r"train_logdir=.*: needs about [\d.]+ MB, its disk has 1000 bytes left", refused())


def test_a_folder_in_which_somebody_trains_is_refused(shards, tmp_path, monkeypatch):
    folder = str(tmp_path / "run")
    locks.take(folder, "train_logdir", "trains")
    file = locks._taken.pop(folder)  # as if another process had taken it
    try:
        with pytest.raises(UserError, match=rf"train_logdir={folder}: process \d+ trains there now"):
            rehearse(shards, folder)
    finally:
        file.close()
    monkeypatch.setattr(program, "build", lambda *arguments: pytest.fail("built"))
    with pytest.raises(pytest.fail.Exception, match="built"):  # nobody trains there any more
        rehearse(shards, folder)


@pytest.mark.slow
def test_a_dry_run_of_a_training_that_goes_on_begins_at_its_step(shards, tmp_path, capsys):
    flags = (f"--train_logdir={tmp_path}", f"--dataset_dir={shards}", *SMALL.split(), "--training_number_of_steps=2")
    train(cli.read(TrainConfig, ["train", *flags]))
    locks.release(str(tmp_path))
    before = tree(tmp_path)
    rehearse(shards, tmp_path, "--training_number_of_steps=8")
    assert "for the 6 steps from 2 to 8" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"train_batch_size was 2, now 4"):
        rehearse(shards, tmp_path, "--train_batch_size=4")
    rehearse(shards, tmp_path, "--training_number_of_steps=2")
    assert "has done all of its 2 steps" in capsys.readouterr().out
    assert tree(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [["--checkpoint=all"], ["--continuous"], ["--tile_size=65,65", "--tile_overlap=16"]],
)
def test_eval_predicts_a_few_images_and_writes_nothing(flags, tmp_path, unchanged, capsys):
    known = (f"--checkpoint_dir={small_training.logdir()}", f"--dataset_dir={small_training.shards()}", "--dry_run")
    evaluate(cli.read(EvalConfig, ["eval", *known, *flags]))
    said = capsys.readouterr().out
    assert re.search(
        r"^Images: 5; \d+:\d\d:\d\d \(h:mm:ss\) at [\d.e-]+ s an image, measured on 5$", said, re.MULTILINE
    )
    assert said.endswith("Nothing was written; the same command without --dry_run scores\n")
    with pytest.raises(UserError, match="nowhere"):
        evaluate(cli.read(EvalConfig, ["eval", *known, "--eval_split=nowhere"]))


@pytest.mark.slow
def test_eval_ends_after_a_few_images(tmp_path, capsys):
    folder = fake_data.shards(tmp_path, {"val": 20})
    flags = (f"--checkpoint_dir={small_training.logdir()}", f"--dataset_dir={folder}", "--dry_run")
    evaluate(cli.read(EvalConfig, ["eval", *flags]))
    assert re.search(r"^Images: 20; .* measured on 6$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "saved_model, float32, images of any size"),
        (["--format=onnx", "--crop_size=33,65"], "onnx, float32, images of 33x65"),
        (["--format=tflite", "--quantize=dynamic"], "tflite, dynamic, images of 513x513"),
    ],
)
def test_export_says_what_it_would_write(flags, said, tmp_path, unchanged, capsys):
    known = (f"--checkpoint_dir={small_training.logdir()}", f"--export_path={tmp_path}/exports", "--dry_run")
    export(cli.read(ExportConfig, ["export", *known, *flags]))
    out = capsys.readouterr().out
    assert f"Would write {tmp_path}/exports/1: {said}\n" in out
    assert re.search(r"^Disk: about [\d.]+ [KM]B of the ", out, re.MULTILINE)


def test_export_names_a_missing_package_and_missing_images(tmp_path, unchanged, monkeypatch):
    known = (f"--checkpoint_dir={small_training.logdir()}", f"--export_path={tmp_path}/exports", "--dry_run")
    monkeypatch.setitem(__import__("sys").modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"--format=onnx needs tf2onnx.*: pip install tf2onnx"):
        export(cli.read(ExportConfig, ["export", *known, "--format=onnx"]))
    with pytest.raises(UserError, match="nowhere"):
        export(cli.read(ExportConfig, ["export", *known, f"--dataset_dir={tmp_path}/nowhere"]))


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KB"), (3 << 30, "3.0 GB")]
)
def test_bytes_have_units(count, text):
    assert room.size_text(count) == text


def test_a_folder_that_may_not_be_written_to_and_a_remote_one(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=rf"--export_path={tmp_path}/a/b: {tmp_path} cannot be written to"):
        room.require(f"{tmp_path}/a/b", "export_path", 5)
    assert room.require("gs://bucket/x", "export_path", 5) == "about 5 bytes for gs://bucket/x, whose room is not known"
