"""predict writes annotations for labelling tools, and the ids of the label files that people have."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab.config.inference import PredictConfig
from deeplab.config.results.written import ANNOTATIONS, WrittenConfig
from deeplab.data import catalog
from deeplab.predict import predict
from deeplab.programs import predict as program
from deeplab.programs.builders import folder
from deeplab.segmenting.annotations import coco, label_studio, parts
from helpers import annotation_readers as readers
from helpers import built, fake_data, videos
from helpers.places import ROOT

NAMES = ("_background_", "road & rail", 'the "tree"', "wäter")
CLASSES = {name: label for label, name in enumerate(NAMES)}
DATASET = catalog.Dataset("own", 4, class_names=NAMES, source_ids=(0, 7, 24, 300))
CAMVID = ROOT.parent / "shared" / "camvid" / "labels"


def config(tmp_path, *formats, **changes):
    options = {name: changes.pop(name) for name in ("polygon_tolerance", "class_ids") if name in changes}
    written = WrittenConfig(write=formats or ("png",), **options)
    paths = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out")}
    return PredictConfig(checkpoint_dir="run", written=written, **{**paths, **changes})


@pytest.fixture
def network(monkeypatch):
    """Replaces the network by one whose labels are the red of the image; returns the `Opened` for other data sets."""

    def opened(dataset=DATASET):
        labels = lambda image: image[..., 0].astype(np.int32)  # noqa: E731
        monkeypatch.setattr(
            program.opening, "open_checkpoint", lambda _: program.opening.Opened(labels, None, dataset, {"step": 5})
        )

    opened()
    return opened


def saved(tmp_path, **images):
    """Writes labels (H, W) as images that `network` gives these labels for; names have __ for a slash."""
    for name, labels in images.items():
        fake_data.save(np.repeat(labels[..., None], 3, -1).astype(np.uint8), tmp_path / "in" / f"{_path(name)}.png")


def _path(name):
    return name.replace("__", "/")


def holed(seed=0, height=300, width=400):
    labels = readers.blobs(height, width, seed=seed)
    labels[120:200, 50:180], labels[140:180, 80:100], labels[150:170, 120:150] = 1, 2, 0
    return labels


def mean_iou(first, second):
    found = [np.sum((first == k) & (second == k)) / np.sum((first == k) | (second == k)) for k in np.unique(first)]
    return np.mean(found)


def test_masks_come_back_from_every_format(tmp_path, network):
    """Names with accents, quotes and folders; a class called background is what no shape covers."""
    expected = {"a b.png": holed(), "drive/ü.png": holed(1)}
    saved(tmp_path, **{"a b": holed(), "drive__ü": holed(1)})
    assert predict(config(tmp_path, *ANNOTATIONS)) == 0
    assert not list((tmp_path / "out").rglob("*.png"))  # png was not asked for
    found = {name: read(tmp_path / "out", CLASSES, 0) for name, read in readers.READERS.items()}
    sizes = {name.removesuffix(".png"): labels.shape for name, labels in expected.items()}
    found["yolo"] = readers.yolo(tmp_path / "out", CLASSES, 0, sizes)
    listed = (tmp_path / "out" / "labelme" / "labels.txt").read_text().splitlines()
    assert listed == ["__ignore__", *NAMES]
    for format, images in found.items():
        assert len(images) == 2, format
        for name, labels in expected.items():
            key = {"labelme": name.rpartition("/")[2], "yolo": name.removesuffix(".png")}.get(format, name)
            assert mean_iou(labels, images[key]) > 0.99, format


@pytest.mark.parametrize("format", ANNOTATIONS)
def test_what_predict_writes_is_built_again(format, tmp_path, network):
    network(catalog.Dataset("own", 4, class_names=NAMES))
    expected = {"a b": holed(), "c": holed(1)}
    saved(tmp_path, **expected)
    predict(config(tmp_path, format))
    source = tmp_path / "out" / format
    if format == "yolo":  # the only format whose images have to lie beside it
        shutil.copytree(tmp_path / "in", source / "images")
    given = {"image_dir": (str(tmp_path / "in"),)} if format != "yolo" else {}
    folder.build_folder_data(
        folder.FolderConfig(folder=str(source), output_dir=str(tmp_path / "shards"), num_workers=1, **given)
    )
    names = catalog.load(str(tmp_path / "shards")).class_names
    classes = np.array([NAMES.index(name) if name in NAMES else 0 for name in names])
    found = {pathlib.PurePath(name).name: classes[values] for name, values in built.labels(tmp_path / "shards").items()}
    assert found.keys() == expected.keys()
    for name, labels in expected.items():
        assert mean_iou(labels, found[name]) > 0.99


@pytest.mark.skipif(not CAMVID.exists(), reason="../shared/camvid is not here")
def test_thin_classes_of_a_street_come_back(tmp_path, network):
    path = sorted(CAMVID.rglob("*.png"))[0]
    with Image.open(path) as image:
        labels = np.asarray(image).astype(int)
    names = {f"class {label}": label for label in range(12)}
    network(catalog.Dataset("camvid", 12))
    saved(tmp_path, street=labels)
    predict(config(tmp_path, *readers.READERS))
    for format, read in readers.READERS.items():
        (images,) = read(tmp_path / "out", names, 11).values()
        assert mean_iou(labels, images) > 0.99, format


def test_ids_names_and_boxes_are_those_of_the_data_set(tmp_path, network):
    labels = np.zeros((20, 30), int)
    labels[5:15, 10:20], labels[2:4, 2:8] = 1, 3
    saved(tmp_path, a=labels)
    predict(config(tmp_path, "coco", "yolo", "cvat", polygon_tolerance=0.0))
    content = json.loads((tmp_path / "out" / coco.FILE).read_text())
    assert [(one["id"], one["name"]) for one in content["categories"]] == [
        (7, NAMES[1]),
        (24, NAMES[2]),
        (300, NAMES[3]),
    ]
    road, water = content["annotations"]
    assert (road["category_id"], water["category_id"], road["iscrowd"]) == (7, 300, 0)
    np.testing.assert_allclose(road["bbox"], [10, 5, 10, 10], atol=0.05)
    assert road["area"] == pytest.approx(100, abs=2)  # corners are cut
    described = (tmp_path / "out" / "yolo" / "data.yaml").read_text().split("names:\n")[1].splitlines()
    assert described == [
        f"  {i}: {json.dumps(name, ensure_ascii=False)}" for i, name in enumerate(NAMES[1:])
    ]  # from 0 without gaps
    lines = (tmp_path / "out" / "yolo" / "labels" / "a.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "2"]


def test_a_later_run_adds_its_images_to_those_of_before(tmp_path, network, capsys):
    saved(tmp_path, a=holed())
    predict(config(tmp_path, "coco", "png"))
    time = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    saved(tmp_path, b=holed(1))
    predict(config(tmp_path, "coco", "png", input=str(tmp_path / "in" / "b.png")))
    content = json.loads((tmp_path / "out" / coco.FILE).read_text())
    assert [one["file_name"] for one in content["images"]] == ["a.png", "b.png"]
    assert {one["image_id"] for one in content["annotations"]} == {1, 2}
    capsys.readouterr()
    predict(config(tmp_path, "cvat", "coco", "png"))  # another format of finished images needs no network
    said = capsys.readouterr().out
    assert "Segmented 0 of 2 images" in said
    assert f"Wrote {tmp_path}/out/cvat/annotations.xml" in said
    assert set(readers.cvat(tmp_path / "out", CLASSES, 0)) == {"a.png", "b.png"}
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == time


def test_an_image_that_changed_is_replaced_in_the_annotations(tmp_path, network):
    saved(tmp_path, a=holed(), b=holed())
    predict(config(tmp_path, "coco"))
    saved(tmp_path, a=np.full((7, 9), 1))
    predict(config(tmp_path, "coco"))
    content = json.loads((tmp_path / "out" / coco.FILE).read_text())
    assert [(one["file_name"], one["height"]) for one in content["images"]] == [("a.png", 7), ("b.png", 300)]


def test_a_run_that_breaks_off_leaves_whole_files(tmp_path, network, monkeypatch):
    saved(tmp_path, a=holed())
    predict(config(tmp_path, "coco"))
    before = (tmp_path / "out" / coco.FILE).read_text()
    saved(tmp_path, b=holed(1))
    whole = coco._annotation

    def full_disk(number, *more):
        if number > 3:
            raise OSError("no space")
        return whole(number, *more)

    monkeypatch.setattr(coco, "_annotation", full_disk)
    with pytest.raises(OSError, match="no space"):
        predict(config(tmp_path, "coco"))
    assert (tmp_path / "out" / coco.FILE).read_text() == before
    assert [path.name for path in (tmp_path / "out" / "coco").iterdir()] == ["annotations.json"]
    monkeypatch.undo()
    unused = program.opening.Opened(None, None, DATASET, {"step": 5, "source_ids": DATASET.source_ids})
    monkeypatch.setattr(program.opening, "open_checkpoint", lambda _: unused)
    predict(config(tmp_path, "coco"))  # nothing is segmented again
    assert len(json.loads((tmp_path / "out" / coco.FILE).read_text())["images"]) == 2


def test_another_tolerance_is_not_mixed(tmp_path, network):
    saved(tmp_path, a=holed(), b=holed(1))
    predict(config(tmp_path, "coco"))
    fine = (tmp_path / "out" / coco.FILE).stat().st_size
    with pytest.raises(
        deeplab.UserError, match=r"made with polygon_tolerance=default, now it is .*=4\.0; name another"
    ):
        predict(config(tmp_path, "coco", polygon_tolerance=4.0))
    predict(config(tmp_path, "coco", polygon_tolerance=4.0, overwrite=True))
    assert (tmp_path / "out" / coco.FILE).stat().st_size < 0.7 * fine


def test_a_damaged_part_is_named(tmp_path, network):
    saved(tmp_path, a=holed())
    predict(config(tmp_path, "coco"))
    path = tmp_path / "out" / "annotation_parts" / "a.json"
    whole = path.read_text()
    for damaged in (whole[:100], whole.replace('"rings": [[', '"rings": [[1.0], ['), "{}"):
        path.write_text(damaged)
        with pytest.raises(deeplab.UserError, match=r"annotation_parts/a\.json: not what predict writes.*--overwrite"):
            predict(config(tmp_path, "coco"))


@pytest.mark.parametrize(("ids", "mode"), [((0, 7, 24, 30), "P"), ((0, 7, 24, 300), "I;16")])
def test_pngs_hold_the_ids_of_the_label_files_unless_class_ids_are_asked_for(tmp_path, network, capsys, ids, mode):
    labels = np.array([[0, 1, 2, 3]])
    network(catalog.Dataset("own", 4, class_names=NAMES, source_ids=ids))
    saved(tmp_path, a=labels)
    predict(config(tmp_path))
    assert "note: PNG files hold the ids of the label files" in capsys.readouterr().err
    with Image.open(tmp_path / "out" / "a.png") as image:
        assert (image.mode, np.asarray(image).tolist()) == (mode, [list(ids)])
    with pytest.raises(
        deeplab.UserError, match=r"made with source_ids=\[0, 7, 24, \d+\], now it is source_ids=default"
    ):
        predict(config(tmp_path, class_ids=True))
    predict(config(tmp_path, class_ids=True, output=str(tmp_path / "plain")))
    assert "label files" not in capsys.readouterr().err
    with Image.open(tmp_path / "plain" / "a.png") as image:
        assert (image.mode, np.asarray(image).tolist()) == ("P", labels.tolist())


@pytest.mark.slow
def test_frames_of_a_video_hold_them_too_and_annotations_are_for_images(tmp_path, network, capsys):
    (tmp_path / "in").mkdir()
    videos.make(tmp_path / "in" / "film.mp4", [np.full((48, 64, 3), 0, np.uint8)] * 2)
    network(catalog.Dataset("own", 4, source_ids=(5, 6, 7, 8)))
    predict(config(tmp_path, "coco", save_frames=True))
    assert "note: --write has no effect, because there is no image among the inputs" in capsys.readouterr().err
    with Image.open(tmp_path / "out" / "film_frames" / "000001.png") as image:
        assert np.unique(np.asarray(image)).tolist() == [5]


def test_the_package_that_is_missing_is_named_before_anything_is_segmented(tmp_path, network, monkeypatch):
    saved(tmp_path, a=holed())
    monkeypatch.setitem(sys.modules, "contourpy", None)
    with pytest.raises(deeplab.UserError, match="polygons need contourpy"):
        predict(config(tmp_path, "coco"))
    assert not (tmp_path / "out").exists()


def test_nonsense_is_refused():
    for wrong in ({"write": ()}, {"write": ("png", "voc")}, {"polygon_tolerance": -1.0}):
        with pytest.raises(deeplab.UserError, match=next(iter(wrong))):
            WrittenConfig(**wrong)


@pytest.mark.parametrize("runs", [(5,), (0, 7), (3, 4, 100_000, 1, 2), (1, 1) * 20])
def test_brush_strokes_are_read_back(runs):
    values = readers.brush(label_studio.encoded(runs))
    expected = np.repeat(np.arange(len(runs)) % 2 * 255, np.array(runs) * 4)
    np.testing.assert_array_equal(values, expected)


def test_the_ignored_class_and_the_background_are_not_outlined():
    dataset = catalog.Dataset("own", 3, ignore_label=2, class_names=("Background", "car", "void"))
    assert [category.name for category in parts.categories(dataset)] == ["car"]
    assert [category.name for category in parts.categories(catalog.Dataset("own", 2))] == ["class 0", "class 1"]
