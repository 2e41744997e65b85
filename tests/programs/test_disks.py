"""Disks that are full or read-only, and folders that may not be written to: one line, and what was there stays.

The disk is a small one of its own in memory (tmpfs), which only root may mount on Linux. The tests say so when they are
skipped. `test_hardening.py` shows the same with errors that are put in by hand.
"""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from deeplab import cli
from deeplab.checkpoints import bundle
from deeplab.config.inference import PredictConfig
from deeplab.config.model import ModelConfig
from deeplab.data import catalog
from deeplab.data.building import builder, label_rules
from deeplab.data.building.listing import Pair
from deeplab.evaluation import boundary, report, scoring
from deeplab.evaluation.candidates import Candidate, ScoredCandidate
from deeplab.evaluation.metrics import Scores
from deeplab.evaluation.split_predictor import PredictedImage
from deeplab.files import atomic
from deeplab.inference import export_folder
from deeplab.programs import draw, predict
from deeplab.training import run_folder
from helpers import fake_data
from helpers.options import Outer

NOBODY = 65534
DATASET = catalog.Dataset("fake", 3, class_names=("a", "b", "c"))


@pytest.fixture
def disk():
    """An empty disk of 512 KB, a path."""
    folder = tempfile.mkdtemp(dir="/tmp")
    os.chmod(folder, 0o755)
    command = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=755", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        os.rmdir(folder)
        pytest.skip("a disk of its own can be mounted by root on Linux only, so full and read-only disks are not tried")
    yield pathlib.Path(folder)
    subprocess.run(["umount", "-l", folder], check=True)
    os.rmdir(folder)


@contextlib.contextmanager
def full(disk):
    filler = disk / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    yield
    filler.unlink()


@contextlib.contextmanager
def read_only(disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextlib.contextmanager
def forbidden(disk):
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def write_json(folder, number):
    tf.io.gfile.makedirs(str(folder))
    catalog.save(catalog.Dataset(f"number {number}", 3), str(folder))
    run_folder.write_config(str(folder), ModelConfig(num_classes=number + 2))


def write_checkpoint(folder, number):
    bundle.write(bundle.prefix_for(str(folder), number), {"a/weights": np.full((50, 50), number, np.float32)})
    bundle.prune(str(folder), 5)


def write_shards(folder, number):
    if number == 1:
        fake_data.folders(folder.parent / "pairs", 3)
    names = [f"img_{i}" for i in range(number)]
    places = [folder.parent / "pairs" / kind for kind in ("images", "labels")]
    pairs = [Pair(name, str(places[0] / f"{name}.jpg"), str(places[1] / f"{name}.png")) for name in names]
    config = fake_data.BuildTo(str(folder), overwrite=True)
    builder.build({"train": pairs}, DATASET, label_rules.LabelRules(3), config)


def write_export(folder, number):
    with atomic.new_folder(export_folder.next_path(str(folder))) as unfinished:
        tf.io.gfile.makedirs(unfinished)
        for name in ("saved_model.pb", "model.json"):
            with tf.io.gfile.GFile(f"{unfinished}/{name}", "wb") as file:
                file.write(bytes([number]) * 20_000)


def write_evaluation(folder, number):
    found = Scores.from_confusion(np.eye(3, dtype=np.int64) * number)
    candidate = Candidate("title", DATASET, {"step": number, "split": "val"}, str(folder), None)
    none = boundary.BoundaryScores((), False, DATASET)
    report.publish(ScoredCandidate(candidate, scoring.SplitScores(found, found), none), str(folder))


def write_pictures(folder, number):
    image, label = fake_data.image(seed=number), fake_data.label(seed=number).astype(np.int32)
    colors = catalog.label_colormap(DATASET)
    for name in ("a.png", "b/c.png"):
        where = str(folder), str(folder / "raw")
        draw._write(PredictedImage(name, image, label, label), name, DATASET, colors, where, False)


def write_predictions(folder, number):
    network = predict.opening.Opened(lambda image: image[..., 0] // 100, None, DATASET, {"step": 5})
    with tempfile.TemporaryDirectory() as inputs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict.opening, "open_checkpoint", lambda config: network)
        for seed in range(number):
            fake_data.save(fake_data.image(seed=seed), pathlib.Path(inputs) / f"{seed}.png")
        return predict.predict(PredictConfig(checkpoint_dir="unused", input=inputs, output=str(folder)))


WRITERS = {  # what the programs leave behind: the function that writes it for the first or the second time
    "train: config.json and dataset.json": write_json,
    "train: checkpoints": write_checkpoint,
    "builders: shards": write_shards,
    "export: versions": write_export,
    "eval: results": write_evaluation,
    "vis: pictures": write_pictures,
    "predict: results": write_predictions,
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount a disk")
@pytest.mark.parametrize("what", WRITERS)
@pytest.mark.parametrize("fault", [full, read_only, forbidden])
def test_what_was_written_outlives(disk, what, fault, capsys):
    write, folder = WRITERS[what], disk / "folder"
    folder.mkdir()
    write(folder, 1)
    before = contents(folder)
    assert before
    flags.FLAGS.unparse_flags()
    with fault(disk), pytest.raises(SystemExit) as ended:
        cli.main(lambda _config: write(folder, 2), Outer, ["program"], uses_tensorflow=False)
    told = capsys.readouterr().err
    assert ended.value.code == cli.EXIT_BAD_INPUT, told
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert str(disk) in lines[0]
    after = contents(folder)
    assert {path: after.get(path) for path in before} == before  # nothing is lost or half
    assert not [path for path in folder.rglob(f"{atomic.UNFINISHED}*") if path.is_file()]
    write(folder, 2)
    assert contents(folder) != before
