"""The builders, run as users run them, on small trees that imitate the original folders."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from deeplab.data import catalog, tfrecord
from deeplab.data.pipeline import eval_examples
from deeplab.data.source import open_split
from helpers import fake_data
from helpers.places import ROOT

CAMVID = ROOT.parent / "shared" / "camvid"
PALETTE = [value for color in catalog.label_colormap(catalog.CATALOG["pascal_voc_seg"]).tolist() for value in color]


def run(script, *flags, cwd=None):
    """Runs datasets/`script`.py; returns the finished process, its output in `stdout` and `stderr`."""
    command = [sys.executable, str(ROOT / "datasets" / f"{script}.py"), *map(str, flags)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def labels_of(folder, split):
    """Returns {file name: (H, W) labels} of a built split."""
    examples = eval_examples(open_split(str(folder), split))
    return {e["filename"].numpy().decode(): e["label"].numpy() for e in examples}


@pytest.mark.slow
def test_voc(tmp_path):
    for i in range(4):
        fake_data.save(fake_data.image(seed=i), tmp_path / "JPEGImages" / f"2007_00000{i}.jpg")
        label = fake_data.label(seed=i, num_classes=21)
        fake_data.save(label, tmp_path / "SegmentationClass" / f"2007_00000{i}.png", PALETTE)
        fake_data.save(label, tmp_path / "SegmentationClassAug" / f"2007_00000{i}.png")
    lists = {"train": (0, 1), "val": (2,), "trainval": (0, 1, 2)}
    (tmp_path / "Segmentation").mkdir()
    for split, numbers in lists.items():
        text = "".join(f"2007_00000{i}  \r\n" for i in numbers)  # as left by an editor on Windows
        (tmp_path / "Segmentation" / f"{split}.txt").write_bytes(text.encode())
    result = run(
        "build_voc2012_data", "--image_folder=JPEGImages", "--semantic_segmentation_folder=SegmentationClass",
        "--list_folder=Segmentation", "--image_format=jpg", "--augmented_folder=SegmentationClassAug",
        "--output_dir=shards", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    dataset = catalog.load(str(tmp_path / "shards"))
    assert dataset.splits == {"train": 2, "trainval": 3, "val": 1, "train_aug": 3}
    assert len(tfrecord.shards(str(tmp_path / "shards"), "train")) == 4
    labels = labels_of(tmp_path / "shards", "trainval")
    for i in range(3):
        np.testing.assert_array_equal(labels[f"2007_00000{i}"], fake_data.label(seed=i, num_classes=21))


@pytest.mark.slow
def test_cityscapes_ids_become_train_ids(tmp_path):
    raw = np.arange(34, dtype=np.uint8).repeat(4)[np.newaxis].repeat(8, 0)
    for kind, split in (("gtFine", "train"), ("gtFine", "val"), ("gtCoarse", "train"), ("gtCoarse", "train_extra")):
        name = f"ulm/ulm_00000{len(split)}_000019"
        picture = tmp_path / "leftImg8bit" / split / f"{name}_leftImg8bit.png"
        fake_data.save(fake_data.image(*raw.shape), picture)
        fake_data.save(raw, tmp_path / kind / split / f"{name}_{kind}_labelIds.png")
        fake_data.save(raw, tmp_path / kind / split / f"{name}_{kind}_color.png")
    result = run("build_cityscapes_data", "--cityscapes_root", tmp_path, f"--output_dir={tmp_path / 'shards'}")
    assert result.returncode == 0, result.stderr
    assert catalog.load(str(tmp_path / "shards")).splits == {"train_fine": 1, "val_fine": 1, "train_coarse": 2}
    (label,) = labels_of(tmp_path / "shards", "train_fine").values()
    expected = np.full(34, 255)
    expected[list(catalog.CITYSCAPES_RAW_IDS)] = np.arange(19)
    np.testing.assert_array_equal(label[0, ::4], expected)


@pytest.mark.slow
def test_ade20k(tmp_path):
    flags = [f"--output_dir={tmp_path / 'shards'}", "--num_shards=1"]
    for folder, count, images, annotations in (
        ("training", 5, "--train_image_folder", "--train_image_label_folder"),
        ("validation", 2, "--val_image_folder", "--val_image_label_folder"),
    ):
        for i in range(count):
            fake_data.save(fake_data.image(seed=i), tmp_path / "images" / folder / f"ADE_{folder}_{i:08}.jpg")
            label = fake_data.label(seed=i, num_classes=151, ignore=0)
            fake_data.save(label, tmp_path / "annotations" / folder / f"ADE_{folder}_{i:08}.png")
        flags += [f"{images}={tmp_path / 'images' / folder}", f"{annotations}={tmp_path / 'annotations' / folder}"]
    result = run("build_ade20k_data", *flags)
    assert result.returncode == 0, result.stderr
    labels = labels_of(tmp_path / "shards", "train")
    assert list(labels) != sorted(labels)  # shuffled
    assert set(labels) == {f"ADE_training_{i:08}" for i in range(5)}
    assert run("build_ade20k_data", *flags, f"--output_dir={tmp_path / 'other'}", "--seed=1").returncode == 0
    assert list(labels_of(tmp_path / "other", "train")) != list(labels)


@pytest.mark.slow
@pytest.mark.skipif(not CAMVID.exists(), reason="../shared/camvid is not here")
def test_all_of_camvid(tmp_path):
    result = run("build_camvid_data", f"--camvid_root={CAMVID}", f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    dataset = catalog.load(str(tmp_path))
    assert (dataset.splits, dataset.mean_size) == ({"train": 367, "val": 101}, (360, 480))
    shares = np.array(dataset.class_histogram["train"]) / (367 * 360 * 480) * 100
    published = [16.9, 23.3, 1.0, 31.7, 4.5, 9.7, 1.2, 1.1, 5.9, 0.6, 0.3]  # the data set's README
    np.testing.assert_allclose(shares, published, atol=0.06)


def broken_folder(root):
    """Writes twelve good pairs and one of every kind of bad one; returns the names of the bad files."""
    fake_data.folders(root, 12)
    save, image, label = fake_data.save, fake_data.image, fake_data.label
    for name in ("size", "palette", "range", "color", "no_label"):
        save(image(), root / "images" / f"{name}.jpg")
    save(label(40, 64), root / "labels" / "size.png")
    save(label(), root / "labels" / "palette.png", PALETTE)
    save(np.full((48, 64), 9, np.uint8), root / "labels" / "range.png")
    save(image(), root / "labels" / "color.png")
    save(label(), root / "labels" / "no_image.png")
    for name in ("cut", "cut_label", "no_picture"):
        save(image(), root / "images" / f"{name}.jpg")
        save(label(), root / "labels" / f"{name}.png")
    for path, size in (("images/cut.jpg", 600), ("labels/cut_label.png", 80)):
        (root / path).write_bytes((root / path).read_bytes()[:size])
    (root / "images" / "no_picture.jpg").write_text("a text")
    return [
        "labels/size.png", "labels/palette.png", "labels/range.png", "labels/color.png", "images/no_label.jpg",
        "labels/no_image.png", "images/cut.jpg", "labels/cut_label.png", "images/no_picture.jpg",
    ]  # fmt: skip


FOLDER_FLAGS = ("--image_dir=images", "--label_dir=labels", "--class_names=a,b,c", "--output_dir=shards")


@pytest.mark.slow
def test_a_broken_folder_gives_one_report(tmp_path):
    bad = broken_folder(tmp_path)
    result = run("build_folder_data", *FOLDER_FLAGS, cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert f"{len(bad)} problems, nothing was written" in result.stderr
    for path in bad:
        assert path in result.stderr
    for hint in ("--label_format=palette", "--label_format=rgb", "9 (3072 pixels)", "64x40"):
        assert hint in result.stderr
    assert not list((tmp_path / "shards").iterdir())

    result = run("build_folder_data", *FOLDER_FLAGS, "--skip_bad", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"{len(bad)} left out" in result.stdout
    assert catalog.load(str(tmp_path / "shards")).splits == {"train": 12}
    assert "--val_fraction=0.2 keeps some to evaluate on" in result.stdout.splitlines()[-1]
    shutil.rmtree(tmp_path / "images")
    result = run("build_folder_data", *FOLDER_FLAGS, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "error: --image_dir=images: no such folder"
