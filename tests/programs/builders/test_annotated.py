"""`deeplab build ./FOLDER` on what annotation tools write: built, told, or refused in one line."""

import base64
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.programs.builders import folder
from helpers import annotated_folders, fake_data
from helpers.annotated_folders import SIZE
from helpers.built import labels
from helpers.places import ROOT, SHARED

needs_samples = pytest.mark.skipif(
    not (SHARED / "samples").exists(), reason="no ../shared/samples beside the repository"
)


def build(root, output_dir, **given):
    folder.build_folder_data(
        folder.FolderConfig(folder=str(root), output_dir=str(output_dir), num_workers=1, num_shards=1, **given)
    )
    return catalog.load(str(output_dir))


@pytest.mark.parametrize("name", [*annotated_folders.DRAWN, *(f"{name} masks" for name in annotated_folders.MASKS)])
def test_the_same_scene_is_built_from_every_format(name, tmp_path):
    word, is_mask, _ = name.partition(" ")
    (annotated_folders.MASKS if is_mask else annotated_folders.DRAWN)[word](tmp_path / "source")
    given = {"class_names": ",".join(annotated_folders.NAMES)} if word == "voc" else {}
    dataset = build(tmp_path / "source", tmp_path / "shards", **given)
    assert dataset.splits == {"train": 2}
    assert dataset.class_names[1:] == annotated_folders.NAMES[1:]
    for image, found in labels(tmp_path / "shards").items():
        np.testing.assert_array_equal(found, annotated_folders.expected(image.removeprefix("train/")))


@needs_samples
@pytest.mark.parametrize(
    ("sample", "given", "classes", "occurring"),
    [
        ("cvat_mask", {}, "background,cheetah,fox,hyena,lion,tiger,wolf", {"background", "lion"}),
        ("roboflow_coco_facades", {}, None, {"facade", "window", "background"}),
        ("roboflow_coco_lanes", {}, None, {"background", "Left Boundary -Solid-"}),
        ("voc_layout_palette", {"class_names": "a,b,c"}, "a,b,c", {"a", "b", "c"}),
        ("labelme", {}, None, {"_background_", "person", "bottle", "sofa", "bus"}),
    ],
)
def test_samples_become_the_classes_of_their_readme(sample, given, classes, occurring, tmp_path):
    dataset = build(SHARED / "samples" / sample, tmp_path, **given)
    assert list(dataset.splits) == (["val"] if sample == "voc_layout_palette" else ["train"])
    if classes:
        assert dataset.class_names == tuple(classes.split(","))
    assert dataset.class_names.count("facade") == (sample == "roboflow_coco_facades")
    (histogram,) = dataset.class_histogram.values()
    found = {name for name, count in zip(dataset.class_names, histogram, strict=True) if count}
    assert occurring <= found
    if sample == "labelme":
        assert (dataset.class_names[0], dataset.class_names[1], len(dataset.class_names)) == (
            *("_background_", "aeroplane"),
            21,
        )
        for name, drawn in labels(tmp_path).items():
            expected = np.asarray(Image.open(SHARED / "samples" / "labelme_expected" / f"{name}.png"))
            assert (drawn == expected).mean() >= 0.995


def test_classes_and_lists_beside_the_layout_of_voc(tmp_path):
    annotated_folders.voc(tmp_path)
    (tmp_path / "classes.json").write_text('["a", "b", "c"]')
    assert build(tmp_path, tmp_path / "a").class_names == ("a", "b", "c")
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").unlink()
    (tmp_path / "val.txt").write_text("one\n")
    assert build(tmp_path, tmp_path / "b").splits == {"val": 1}
    (tmp_path / "class_names.txt").write_text("_background_\ncar\ntree\n")  # as labelme's converter writes it
    assert build(tmp_path, tmp_path / "c").class_names == ("_background_", "car", "tree")
    assert build(tmp_path, tmp_path / "d", val_fraction=0.5).splits == {"train": 1, "val": 1}


@needs_samples
def test_a_layout_without_names_prints_the_flags_that_build_it(tmp_path):
    with pytest.raises(UserError, match=r"voc_layout_palette --class_names=class_0,class_1,class_2"):
        build(SHARED / "samples" / "voc_layout_palette", tmp_path)


def test_overlaps_are_told_and_the_flag_says_what_is_seen(tmp_path, capsys):
    annotated_folders.coco(tmp_path / "source")
    build(tmp_path / "source", tmp_path / "file")
    told = capsys.readouterr().out
    assert "overlap on 16 pixels, where the later one of the file is seen, --overlap=smaller shows" in told
    build(tmp_path / "source", tmp_path / "smaller", overlap="smaller")
    assert "where the smaller one is seen\n" in capsys.readouterr().out
    assert [labels(tmp_path / name)["one"][10, 11] for name in ("file", "smaller")] == [2, 1]


def test_two_formats_in_one_folder_are_asked_about(tmp_path, capsys):
    annotated_folders.coco(tmp_path)
    annotated_folders.cvat(tmp_path)
    with pytest.raises(UserError, match=r"holds coco and cvat; choose one by --format=coco or --format=cvat"):
        build(tmp_path, tmp_path / "shards")
    build(tmp_path, tmp_path / "shards", format="cvat")
    assert "taken as --format=cvat: 2 images, 2 labels, 3 classes: background, car, tree" in capsys.readouterr().out


def test_masks_beside_annotations_are_asked_about(tmp_path):
    annotated_folders.coco(tmp_path)
    for name in annotated_folders.SQUARES:
        fake_data.save(annotated_folders.expected(name), tmp_path / "masks" / f"{name}.png")
    with pytest.raises(UserError, match="holds coco and folders; choose one"):
        build(tmp_path, tmp_path / "shards")
    assert build(tmp_path, tmp_path / "shards", format="folders", class_names="x,y,z").class_names == ("x", "y", "z")


def test_splits_of_the_source_or_of_the_flags(tmp_path):
    for split in ("train", "valid"):
        root = tmp_path / "source" / split
        annotated_folders.images(root)
        annotated_folders.write(root / "_annotations.coco.json", annotated_folders.coco_values())
    assert build(tmp_path / "source", tmp_path / "a").splits == {"train": 2, "val": 2}
    assert build(tmp_path / "source", tmp_path / "b", val_fraction=0.25).splits == {"train": 3, "val": 1}
    assert build(tmp_path / "source", tmp_path / "c", split="all").splits == {"all": 4}
    (tmp_path / "few.txt").write_text("train/one\nval/two\n")
    assert build(tmp_path / "source", tmp_path / "d", list=(str(tmp_path / "few.txt"),)).splits == {"few": 2}


def test_the_label_of_a_turned_photograph_is_turned(tmp_path):
    """COCO with the size before turning; labelme shows photographs as EXIF says."""
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter
    annotated_folders.coco(tmp_path / "source")
    path = tmp_path / "source" / "images" / "one.jpg"
    Image.open(path).save(path, exif=exif)
    build(tmp_path / "source", tmp_path / "shards")
    np.testing.assert_array_equal(labels(tmp_path / "shards")["one"], np.rot90(annotated_folders.expected("one"), k=-1))


def test_a_turned_photograph_inside_a_labelme_file(tmp_path, capsys):
    annotated_folders.labelme(tmp_path / "source")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image, path = tmp_path / "source" / "one.jpg", tmp_path / "source" / "one.json"
    Image.open(image).save(image, exif=exif)
    values = {**json.loads(path.read_text()), "imageData": base64.b64encode(image.read_bytes()).decode()}
    image.unlink()
    annotated_folders.write(path, values)
    assert build(tmp_path / "source", tmp_path / "shards").splits == {"train": 2}
    assert "one.json (imageData)" in capsys.readouterr().out


def test_all_bad_images_are_named_in_one_run(tmp_path, capsys):
    annotated_folders.coco(tmp_path / "source")
    values = annotated_folders.coco_values()
    values["images"][0]["file_name"] = "gone.jpg"
    values["images"][1].update(height=30, width=50)
    values["images"].append({"id": 99, "file_name": "more/two.jpg", "height": SIZE[0], "width": SIZE[1]})
    fake_data.save(fake_data.image(*SIZE), tmp_path / "source" / "more" / "two.jpg")
    annotated_folders.write(tmp_path / "source" / "annotations" / "instances_default.json", values)
    with pytest.raises(UserError) as caught:
        build(tmp_path / "source", tmp_path / "shards")
    told = str(caught.value)
    assert told.startswith("2 problems, nothing was written")
    assert re.search(r"instances_default.json: gone.jpg: its image is missing", told)
    assert re.search(r"two.jpg: the annotation is of an image of 50x30, the image has 32x24", told)
    assert build(tmp_path / "source", tmp_path / "shards", skip_bad=True).splits == {"train": 1}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"label_format": "rgb"}, "--label_format=rgb: has no effect, since the labels are drawn from --format=coco"),
        ({"ignore_values": (9,)}, "--ignore_values=.*: has no effect"),
        ({"num_classes": 7}, "--num_classes=7: the annotations have 3 with the background"),
        ({"ignore_label": 2}, "--ignore_label=2: is the id of a class"),
        ({"format": "labelme"}, "--format=labelme: .* holds no files of that format, but coco"),
    ],
)
def test_flags_that_do_not_fit_annotations_are_refused(given, told, tmp_path):
    annotated_folders.coco(tmp_path)
    with pytest.raises(UserError, match=told):
        build(tmp_path, tmp_path / "shards", **given)


def test_overlap_of_masks_is_refused(tmp_path):
    annotated_folders.cvat_masks(tmp_path)
    with pytest.raises(UserError, match="--overlap=smaller: has no effect, since --format=cvat has no shapes"):
        build(tmp_path, tmp_path / "shards", overlap="smaller")
    for given in ({"format": "folders"}, {"folder": "", "image_dir": ("a",), "label_dir": ("b",)}):
        with pytest.raises(UserError, match="overlap='smaller': has no effect where the labels are masks"):
            folder.FolderConfig(**{"folder": "x", "output_dir": "y", "overlap": "smaller", **given})


BIG = """
from deeplab.benchmarks import timing
from deeplab.programs.builders import folder
if __name__ == "__main__":
    folder.build_folder_data(folder.FolderConfig(folder="source", output_dir="shards", list=("few.txt",)))
    print("GB", timing.peak_memory())
"""


@pytest.mark.slow
def test_a_coco_file_of_100000_annotations_needs_less_than_2_gb(tmp_path):
    random = np.random.default_rng(0)
    corners = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    circle = np.stack([np.cos(corners), np.sin(corners)], axis=1) * 3
    images, annotations = [], []
    for i in range(50):
        fake_data.save(fake_data.image(100, 120, seed=i), tmp_path / "source" / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": 100, "width": 120})
    rings = (circle.ravel() + np.tile(random.uniform(0, 100, (100_000, 2)), 8)).round(2).tolist()
    for i, ring in enumerate(rings):
        annotation = {"id": i, "image_id": i % 50, "category_id": 1 + i % 9, "segmentation": [ring], "iscrowd": 0}
        annotations.append({**annotation, "area": 28.3, "bbox": [1.25, 2.25, 3.25, 4.25]})
    values = {"images": images, "categories": [{"id": i, "name": f"kind {i}"} for i in range(1, 10)]}
    annotated_folders.write(tmp_path / "source" / "big.json", json.dumps({**values, "annotations": annotations}))
    (tmp_path / "few.txt").write_text("7\n8\n")  # the whole file is read; drawing takes its time and no more memory
    (tmp_path / "run.py").write_text(BIG)
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert float(re.search(r"^GB (.+)$", done.stdout, re.MULTILINE)[1]) < 2
    assert catalog.load(str(tmp_path / "shards")).splits == {"few": 2}
