"""Full disks, forbidden and vanished folders, clocks that jump, two processes in one folder: told, and nothing lost."""

import ast
import os
import pathlib
import re
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from deeplab import cli
from deeplab.checkpoints import bundle
from deeplab.config.inference import PredictConfig, VisConfig
from deeplab.config.training import TrainConfig
from deeplab.data import catalog, pipeline, records, source
from deeplab.data.building import builder, label_rules
from deeplab.errors import UserError
from deeplab.exporting import model_card
from deeplab.files import atomic, locks, paths
from deeplab.inference import export_folder, trained
from deeplab.pictures import images
from deeplab.programs import draw, predict
from deeplab.training import progress, run_folder
from helpers import fake_data, small_export
from helpers.options import Outer
from helpers.places import ROOT

PACKAGE = ROOT / "deeplab"
FULL = pathlib.Path("/dev/full")  # every write to it fails as on a full disk
on_linux = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
VALUES = {"a/weights": np.ones((2, 3), np.float32)}


def run(capsys, function):
    """Runs `function` as an entry point does; returns (exit code, what was printed to stderr)."""
    flags.FLAGS.unparse_flags()
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda _config: function(), Outer, ["program"], uses_tensorflow=False)
    return ended.value.code, capsys.readouterr().err


def raising(error):
    def function(*_args, **_kwargs):
        raise error

    return function


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "/place/model.ckpt; No space left on device"),
        tf.errors.PermissionDeniedError(None, None, "/place/model.ckpt; Read-only file system"),
        tf.errors.NotFoundError(None, None, "/place/model.ckpt; No such file or directory"),
        tf.errors.FailedPreconditionError(None, None, "/place/model.ckpt is not a directory"),
        PermissionError(13, "Permission denied", "/place/model.ckpt"),
        OSError(28, "No space left on device", "/place/model.ckpt"),
    ],
)
def test_programs_end_with_one_line(error, capsys):
    code, told = run(capsys, raising(error))
    assert code == cli.EXIT_BAD_INPUT
    assert told.startswith("error: ")
    assert "/place/model.ckpt" in told
    assert len(told.splitlines()) == 1


def test_mistakes_of_ours_keep_their_traceback():
    with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized"):
        cli.main(
            raising(tf.errors.FailedPreconditionError(None, None, "uninitialized variable")), Outer, ["program"],
            uses_tensorflow=False,
        )  # fmt: skip


@on_linux
@pytest.mark.parametrize("file", ["config.json", "dataset.json"])
def test_a_full_disk_keeps_what_was_written(tmp_path, file, monkeypatch):
    from deeplab.config.model import ModelConfig

    def write(name, classes):
        run_folder.write_config(str(tmp_path), ModelConfig(num_classes=classes))
        catalog.save(catalog.Dataset(name, classes), str(tmp_path))

    write("first", 3)
    before = (tmp_path / file).read_text()
    whole = tf.io.gfile.GFile

    def full(path, mode="r"):
        aside = os.path.basename(path) != file and file in path
        return whole(str(FULL) if aside and "w" in mode else path, mode)

    monkeypatch.setattr(tf.io.gfile, "GFile", full)
    with pytest.raises(tf.errors.ResourceExhaustedError, match="No space left"):
        write("second", 4)
    assert (tmp_path / file).read_text() == before


def test_a_full_disk_keeps_the_checkpoints_before(tmp_path, monkeypatch):
    bundle.write(bundle.prefix_for(str(tmp_path), 1), VALUES)
    save = tf.raw_ops.SaveV2

    def full(prefix, **kwargs):
        save(prefix=prefix, **kwargs)  # something is written before the disk is full
        os.remove(f"{prefix}.index")
        raise tf.errors.ResourceExhaustedError(None, None, f"{prefix}; No space left on device")

    monkeypatch.setattr(tf.raw_ops, "SaveV2", full)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        bundle.write(bundle.prefix_for(str(tmp_path), 2), VALUES)
    newest = bundle.latest(str(tmp_path))
    assert newest.endswith("-1")
    np.testing.assert_array_equal(bundle.read(newest)["a/weights"], VALUES["a/weights"])
    monkeypatch.setattr(tf.raw_ops, "SaveV2", save)
    bundle.write(bundle.prefix_for(str(tmp_path), 2), VALUES)
    bundle.prune(str(tmp_path), 2)
    assert not [name for name in os.listdir(tmp_path) if name.startswith("unfinished-")]
    assert bundle.latest(str(tmp_path)).endswith("-2")


@on_linux
def test_a_full_disk_while_shards_are_written(tmp_path):
    pairs = fake_data.folders(tmp_path, 3)
    config = fake_data.BuildTo(str(tmp_path / "shards"))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "unfinished-train-00001-of-00002.tfrecord").symlink_to(FULL)
    with pytest.raises(UserError, match=r"cannot be written, nothing was left behind: .*No space left on device"):
        builder.build({"train": pairs}, catalog.Dataset("fake", 3), label_rules.LabelRules(3), config)
    assert not list((tmp_path / "shards").iterdir())
    assert FULL.exists()


@pytest.mark.slow
def test_a_full_disk_while_an_export_is_written(tmp_path, short_mobilenet, monkeypatch):
    first = small_export.run(tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    monkeypatch.setattr(
        model_card, "write", raising(tf.errors.ResourceExhaustedError(None, None, "No space left on device"))
    )
    with pytest.raises(tf.errors.ResourceExhaustedError):
        small_export.run(tmp_path)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert export_folder.newest(str(tmp_path)) == export_folder.Version(str(first), 1)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The configuration of predict for three pictures, whose network is a stand-in."""
    network = predict.opening.Opened(lambda image: image[..., 0] // 100, None, catalog.Dataset("fake", 3), {"step": 5})
    monkeypatch.setattr(predict.opening, "open_checkpoint", lambda config: network)
    for name in "abc":
        fake_data.save(fake_data.image(), tmp_path / "in" / f"{name}.png")
    return PredictConfig(checkpoint_dir="unused", input=str(tmp_path / "in"), output=str(tmp_path / "out"))


def test_a_full_disk_ends_predict_and_keeps_what_is_finished(photos, tmp_path, monkeypatch, capsys):
    write = atomic.write

    def full(path, content):
        if "b.png" in path:
            raise tf.errors.ResourceExhaustedError(None, None, f"{path}; No space left on device")
        write(path, content)

    monkeypatch.setattr(atomic, "write", full)
    code, told = run(capsys, lambda: predict.predict(photos))
    assert (code, "b.png; No space left on device" in told) == (cli.EXIT_BAD_INPUT, True)
    assert "memory" not in told
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    monkeypatch.setattr(atomic, "write", write)
    assert predict.predict(photos) == 0
    assert "1 finished before and skipped" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before


def test_one_predict_at_a_time_writes_to_a_folder(photos, tmp_path):
    (tmp_path / "out").mkdir()
    with locks.hold(photos.output, "output"), pytest.raises(UserError, match=r"--output=.*another process writes"):
        predict.predict(photos)
    assert predict.predict(photos) == 0


def test_shards_that_vanish_are_named(tmp_path, capsys):
    folder = fake_data.shards(tmp_path, {"train": 2})
    split = source.open_split(folder, "train")
    shutil.rmtree(folder)

    def read():
        with records.user_errors(split):
            return list(pipeline.eval_examples(split))

    code, told = run(capsys, read)
    assert code == cli.EXIT_BAD_INPUT
    assert re.search(r"^error: \S+/train-0000\S+: cannot be read any more: No such file or directory\n$", told, re.M)


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch, capsys):
    """Permission to read, which the tests, run as root, always have."""
    denied = tf.errors.PermissionDeniedError(None, None, "x; Permission denied")
    monkeypatch.setattr(tf.io.gfile, "GFile", raising(denied))
    for reader in ("read", "open_regular"):
        monkeypatch.setattr(paths, reader, raising(PermissionError(13, "Permission denied", "x")))
    monkeypatch.setattr(tf.io.gfile, "exists", lambda path: True)
    for read in (
        lambda: images.open_picture("photo.jpg"),
        lambda: catalog.load("shards"),
        lambda: trained._read_config("log"),
    ):
        code, told = run(capsys, read)
        assert (code, "Permission denied" in told) == (cli.EXIT_BAD_INPUT, True)


def test_half_a_line_in_the_metrics_is_forgotten(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo{"step": 3}\n[4]\n{"step": 5}\n{"step": 9}\n{"st')
    progress._forget_after(str(path), 5)
    assert path.read_text() == '{"step": 1}\n{"step": 5}\n'


@pytest.mark.parametrize("place", ["/proc/deeplab", "/dev/null/deeplab"])
def test_folders_that_cannot_be_made_are_named(place, capsys):
    if not os.path.exists(os.path.dirname(place)):
        pytest.skip("needs Linux")
    for function in (
        lambda: run_folder.lock(place),
        lambda: bundle.write(bundle.prefix_for(place, 1), VALUES),
        lambda: builder.build(
            {"train": [("a", "b", "c")]},
            catalog.Dataset("fake", 3),
            label_rules.LabelRules(3),
            fake_data.BuildTo(place),
        ),
    ):
        code, told = run(capsys, function)
        assert code == cli.EXIT_BAD_INPUT
        assert os.path.dirname(place) in told


def test_a_training_folder_that_vanished_is_named(tmp_path, capsys):
    folder = tmp_path / "gone"
    folder.mkdir()
    config = TrainConfig(train_logdir=str(folder), dataset_dir="x")
    notes = progress.Progress(config)
    notes.note(1, {"loss": 1.0})
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    code, told = run(capsys, lambda: notes.note(2, {"loss": 1.0}))
    assert (code, "metrics.jsonl" in told) == (cli.EXIT_BAD_INPUT, True)


def test_evaluation_outlives_a_folder_that_vanishes(tmp_path):
    bundle.write(bundle.prefix_for(str(tmp_path / "log"), 7), VALUES)
    found = trained.new_checkpoints(str(tmp_path / "log"), interval=0.01, timeout=0.05)
    assert next(found) == "model.ckpt-7"
    for file in (tmp_path / "log").iterdir():
        file.unlink()
    (tmp_path / "log").rmdir()
    assert list(found) == []


def test_times_of_files_and_of_the_clock_decide_nothing(tmp_path):
    for step in (5, 40):
        bundle.write(bundle.prefix_for(str(tmp_path), step), VALUES)
    for path in tmp_path.glob("model.ckpt-5.*"):
        os.utime(path, (4e9, 4e9))  # written in 2096, before the clock was set
    assert bundle.latest(str(tmp_path)).endswith("-40")
    for path in PACKAGE.rglob("*.py"):
        names = {f"{n.value.id}.{n.attr}" for n in ast.walk(ast.parse(path.read_text("utf-8")))
                 if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}  # fmt: skip
        if path.name in ("manifest.py", "mlflow_run.py"):
            continue  # asks whether a folder has been still, where two looks decide after a jump; MLflow shows times
        assert not names & {"time.time", "datetime.now", "os.path.getmtime"}, path


def test_one_process_at_a_time_writes_to_a_folder(tmp_path):
    folder = str(tmp_path / "shards")
    pairs = fake_data.folders(tmp_path, 2)
    arguments = ({"train": pairs}, catalog.Dataset("fake", 3), label_rules.LabelRules(3), fake_data.BuildTo(folder))
    builder.build(*arguments)
    before = sorted(os.listdir(folder))
    with locks.hold(folder, "output_dir"):
        with pytest.raises(UserError, match=f"--output_dir={folder}: another process writes there now"):
            builder.build(*arguments)
        assert sorted(os.listdir(folder)) == before
    builder.build(*arguments[:3], fake_data.BuildTo(folder, overwrite=True))
    with locks.hold(folder, "export_path"), locks.hold(str(tmp_path), "export_path"), locks.hold("gs://far", "x"):
        assert export_folder.next_path(folder) == f"{folder}/1"


@pytest.mark.slow
def test_one_export_at_a_time_writes_to_a_folder(tmp_path, short_mobilenet):
    with locks.hold(str(tmp_path), "export_path"), pytest.raises(UserError, match=r"--export_path=.*another process"):
        small_export.run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_vis_at_a_time_writes_to_a_folder(tmp_path, monkeypatch):
    split = type("Split", (list,), {"dataset": catalog.Dataset("fake", 3)})([1])
    opened = types.SimpleNamespace(folder="unused"), types.SimpleNamespace(split=split)
    monkeypatch.setattr(draw, "restore_split_predictor", lambda *_: opened)
    monkeypatch.setattr(draw, "_label_colors", lambda *_: None)
    config = VisConfig(checkpoint_dir="unused", dataset_dir="unused", vis_logdir=str(tmp_path))
    with locks.hold(str(tmp_path), "vis_logdir"), pytest.raises(UserError, match=r"--vis_logdir=.*another process"):
        draw.visualize(config)


def test_a_system_without_locks_is_served(tmp_path, monkeypatch):
    import fcntl

    monkeypatch.setattr(fcntl, "flock", raising(OSError(95, "Operation not supported")))
    with locks.hold(str(tmp_path), "output_dir"), locks.hold(str(tmp_path), "output_dir"):
        assert tmp_path.exists()
