"""Scores of a split: what they must not depend on, what is written, what is refused."""

import contextlib
import dataclasses
import io
import json
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab.checkpoints import bundle
from deeplab.config.data import ResizeConfig
from deeplab.config.inference import EvalConfig, TilesConfig
from deeplab.data import catalog, pipeline, source
from deeplab.eval import evaluate
from deeplab.evaluation import batches, candidates
from deeplab.evaluation.metrics import Scores
from deeplab.inference import trained
from deeplab.layers import hardware
from deeplab.layers.resize import resize_nearest
from helpers import fake_data, small_export, small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")


def config(tmp_path, **changes):
    paths = {"checkpoint_dir": small_training.logdir(), "dataset_dir": small_training.shards()}
    return EvalConfig(**{**paths, "eval_logdir": str(tmp_path / "eval"), **changes})


def results(tmp_path, **changes):
    settings = config(tmp_path, **changes)
    evaluate(settings)
    with open(f"{settings.eval_logdir}/results.json") as file:
        return json.load(file)


EDGES = {"trimap_widths": (1, 4), "boundary_scores": True}
RESIZE = ResizeConfig(min_resize_value=33, max_resize_value=65, resize_factor=16)  # 48x64 becomes 33x49


@pytest.fixture(scope="module")
def plain(short_mobilenet, tmp_path_factory):
    """results.json of the checkpoint, and what was printed."""
    folder, printed = tmp_path_factory.mktemp("plain"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        return results(folder, **EDGES), printed.getvalue(), folder / "eval"


@pytest.fixture(scope="module")
def resized(short_mobilenet, tmp_path_factory):
    """The same of images that are resized."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        return results(tmp_path_factory.mktemp("resized"), resize=RESIZE, **EDGES), printed.getvalue()


@pytest.fixture(scope="module")
def exported(short_mobilenet, tmp_path_factory):
    return small_export.run(tmp_path_factory.mktemp("exports") / "export")


def test_scores_are_those_of_predict_labels(plain):
    found, printed, _folder = plain
    model = deeplab.load(small_training.logdir()).model
    confusion = np.zeros((3, 3), np.int64)
    split = source.open_split(small_training.shards(), "val")
    for example in pipeline.eval_examples(split, dct_method=batches.DCT_METHOD):
        labels = example["label"].numpy().ravel()
        predictions = deeplab.predict_labels(model, example["image"][None])[0].numpy().ravel()
        valid = labels != 255
        np.add.at(confusion, (labels[valid], predictions[valid]), 1)
    np.testing.assert_array_equal(found["confusion_matrix"], confusion)
    assert found["miou"] == pytest.approx(Scores.from_confusion(confusion).mean_iou)
    assert (confusion.sum(axis=0) > 0).all()  # every class is predicted somewhere
    assert (found["step"], found["num_images"], found["eval_crop_size"]) == (7, 5, None)
    assert found["tf32"] is False
    assert [entry["name"] for entry in found["classes"]] == ["kind 0", "kind 1", "kind 2"]
    for entry in found["classes"]:  # precision, recall and F1 of a class follow from one another and from its IoU
        assert entry["recall"] == entry["accuracy"]
        assert entry["f1"] == pytest.approx(2 * entry["iou"] / (1 + entry["iou"]))
        assert entry["f1"] * (entry["precision"] + entry["recall"]) == pytest.approx(
            2 * entry["precision"] * entry["recall"]
        )
    assert {"recall", "precision", "F1"} <= set(printed.split())
    assert f"mean F1 (Dice) {found['mean_f1']:.4f}" in printed
    assert f"mIoU {found['miou']:.4f}" in printed


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_scores_do_not_depend_on_the_batch_size(tmp_path, plain, size):
    assert results(tmp_path, eval_batch_size=size, **EDGES) == plain[0]


@pytest.mark.slow
def test_on_a_gpu_several_images_are_segmented_at_once_and_it_says_so(tmp_path, monkeypatch, exported):
    """The scores of checkpoints and exports stay the same; the CPU traces what a GPU would run."""
    monkeypatch.setattr(hardware, "is_accelerated", lambda: True)
    kinds = {"checkpoint": {}, "export": {"checkpoint_dir": None, "saved_model": str(exported.parent)}}
    for name, options in kinds.items():
        alone = results(tmp_path / f"{name} 1", eval_batch_size=1, **options, **EDGES)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert results(tmp_path / name, **options, **EDGES) == alone
        assert "on a GPU, images of one size are segmented in batches" in printed.getvalue()


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_replicas(tmp_path, resized):
    two = results(tmp_path, distribution_strategy="mirrored", resize=RESIZE, **EDGES)
    assert two == resized[0]  # 5 images: one of the 6 is a filler


@pytest.mark.slow
def test_scores_do_not_depend_on_the_order_of_the_shards(tmp_path, plain):
    shards = shutil.copytree(small_training.shards(), tmp_path / "shards")
    first, second = sorted(shards.glob("val-*"))
    first.rename(tmp_path / "first")
    second.rename(first)
    (tmp_path / "first").rename(second)
    names = [
        [example["filename"].numpy() for example in pipeline.eval_examples(source.open_split(str(folder), "val"))]
        for folder in (shards, small_training.shards())
    ]
    assert names[0] != names[1]
    assert results(tmp_path, dataset_dir=str(shards), **EDGES) == plain[0]


@pytest.mark.slow
def test_tiles_that_hold_the_images_score_the_same(tmp_path):
    whole = np.array(results(tmp_path, eval_crop_size=(65, 65))["confusion_matrix"])
    tiles = TilesConfig(tile_size=(65, 65), tile_overlap=8, tile_shared_context=False)
    tiled = np.array(results(tmp_path, tiles=tiles)["confusion_matrix"])
    assert np.abs(whole - tiled).sum() <= 4  # pixels where two classes are equal but for rounding


@pytest.mark.slow
def test_images_may_be_resized_and_cropped_as_the_reference_does(tmp_path):
    found = results(tmp_path, eval_crop_size=(97, 97), resize=RESIZE)
    assert np.sum(found["confusion_matrix"]) == 5 * 32 * 49  # the first row is ignored
    assert found["eval_crop_size"] == [97, 97]


@pytest.mark.slow
def test_resized_images_are_also_scored_at_their_own_size(tmp_path, resized):
    """As an export that resizes does it: labels, brought back by nearest neighbour."""
    found, printed = resized
    model = deeplab.load(small_training.logdir()).model
    split = source.open_split(small_training.shards(), "val")
    sizes = [pipeline.eval_examples(split, one, dct_method=batches.DCT_METHOD) for one in (RESIZE, None)]
    confusion = np.zeros((3, 3), np.int64)
    for seen, whole in zip(*sizes, strict=True):
        predictions = deeplab.predict_labels(model, seen["image"][None])[0]
        back = resize_nearest(predictions[..., None], whole["label"].shape)[0, ..., 0].numpy()
        labels = whole["label"].numpy()
        np.testing.assert_array_equal(seen["source_label"], labels)
        np.add.at(confusion, (labels[labels != 255], back[labels != 255]), 1)
    assert found["source_size"]["confusion_matrix"] == confusion.tolist()
    assert found["miou_source_size"] == found["source_size"]["miou"] != found["miou"]
    title = "mIoU at source size (labels brought back by nearest neighbour)"
    assert f"{title} {found['miou_source_size']:.4f}" in printed
    tiled = results(tmp_path, resize=RESIZE, tiles=TilesConfig((33, 49), 8, False))
    assert np.abs(np.array(tiled["source_size"]["confusion_matrix"]) - confusion).sum() <= 8


def test_the_score_at_source_size_is_not_computed_twice(plain):
    found, printed, _folder = plain
    assert found["miou_source_size"] == found["miou"]
    assert "source_size" not in found
    assert printed.count("source size") == 1


@pytest.mark.slow
def test_an_export_scores_as_its_checkpoint(tmp_path, exported, plain):
    of_export, of_checkpoint = (
        results(tmp_path, checkpoint_dir=None, saved_model=str(exported.parent), **EDGES),
        plain[0],
    )
    matrices = (np.array(found["confusion_matrix"]) for found in (of_export, of_checkpoint))
    assert np.abs(np.subtract(*matrices)).sum() <= 4  # batch norms are folded: two classes may be equal but for that
    assert (of_export["saved_model"], of_export["step"]) == ("/".join(exported.parts[-2:]), 7)
    assert of_export["trimap_miou"]["4"] == pytest.approx(of_checkpoint["trimap_miou"]["4"], abs=0.01)


@pytest.mark.slow
def test_several_are_compared_in_one_table_and_one_plot(tmp_path, exported, plain, capsys):
    folder = tmp_path / "comparison"
    networks = {"trained": small_training.logdir(), "exported": str(exported)}
    evaluate(compared(folder, networks, **EDGES))
    with open(folder / "comparison.json") as file:
        found = json.load(file)["networks"]
    assert list(found) == ["trained", "exported"]
    alone = plain[0]
    assert {"format": 1, **found["trained"]} == alone
    with Image.open(folder / "trimap.png") as picture:
        assert min(picture.size) > 100
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["trained", "exported"] in table
    row = next(line for line in table if line[:4] == ["IoU", "of", "kind", "1"])
    assert row[4] == f"{alone['classes'][1]['iou']:.4f}"
    newest = f"{small_training.logdir()}/model.ckpt-7,"
    assert ["trained:", newest, "step", "7"] in table
    assert ["exported:", f"{exported},", "made", "of", "made/model.ckpt-7,", "step", "7"] in table


@pytest.mark.slow
def test_all_checkpoints_of_a_training_come_into_one_table_and_one_plot(tmp_path, plain, capsys):
    folder = shutil.copytree(small_training.logdir(), tmp_path / "log")
    values = bundle.read(str(folder / "model.ckpt-7"))
    for name in ("model.ckpt-10", "model.ckpt-9", "best/model.ckpt-8", "best/model.ckpt-7"):
        bundle.write(str(folder / name), {**values, "global_step": np.int64(name.split("-")[1])})
    (folder / "model.ckpt-9.data-00000-of-00001").write_bytes(b"damaged")
    evaluate(config(tmp_path, checkpoint_dir=str(folder), checkpoint="all", eval_logdir=None, **EDGES))
    found = json.loads((folder / "eval_val" / "checkpoints.json").read_text())["checkpoints"]
    assert list(found) == ["model.ckpt-7", "best/model.ckpt-8", "model.ckpt-10"]
    assert [one["step"] for one in found.values()] == [7, 8, 10]
    alone = {name: value for name, value in plain[0].items() if name != "format"}  # which the whole file has once
    assert found["model.ckpt-7"] == {**alone, "checkpoint": "log/model.ckpt-7"}
    with Image.open(folder / "eval_val" / "checkpoints.png") as picture:
        assert min(picture.size) > 100
    said = capsys.readouterr().out
    assert "Checkpoint 4 of 4" in said
    assert "model.ckpt-9: damaged checkpoint" in said
    assert "boundary IoU" in said
    miou = f"{plain[0]['miou']:.4f}"
    assert f"Highest mIoU: {miou}, --checkpoint=model.ckpt-7" in said
    rows = [line.split()[:2] for line in said.splitlines()]
    assert [row for row in rows if row[:1] == ["best/model.ckpt-8"]] == [["best/model.ckpt-8", miou]]


def compared(folder, networks, **changes):
    pairs = tuple(f"{name}={path}" for name, path in networks.items())
    return config(folder, checkpoint_dir=None, compare=pairs, eval_logdir=str(folder), **changes)


def test_the_checkpoint_of_every_folder_that_is_compared_is_the_one_that_is_named(tmp_path, exported):
    logdir = shutil.copytree(small_training.logdir(), tmp_path / "logdir")
    bundle.write(str(logdir / "best" / "model.ckpt-5"), bundle.read(str(logdir / "model.ckpt-7")))

    def steps(networks, **changes):
        opened = candidates.open_candidates(compared(tmp_path, networks, **changes))
        return [bundle.step_of(candidate.facts["checkpoint"]) for candidate in opened]

    both = {"a": str(logdir), "b": str(logdir / "best")}
    assert steps(both) == [7, 5]
    assert steps(both | {"c": str(exported)}, checkpoint="best") == [5, 5, 7]
    with pytest.raises(deeplab.UserError, match="checkpoint='best': has no effect with --saved_model"):
        steps({"a": str(exported), "b": str(exported)}, checkpoint="best")


def test_nothing_is_scored_when_one_of_those_compared_is_missing(tmp_path, capsys):
    with pytest.raises(deeplab.UserError, match="compare=b=nowhere: checkpoint_dir=nowhere: no such folder"):
        evaluate(compared(tmp_path, {"a": small_training.logdir(), "b": "nowhere"}))
    assert "images" not in capsys.readouterr().out


@pytest.mark.slow
def test_an_export_with_other_classes_or_none_is_refused(tmp_path, exported):
    shards = fake_data.shards(tmp_path, {"val": 1}, num_classes=4)
    with pytest.raises(deeplab.UserError, match=r"not predict the classes of fake in .*: 3 classes, not 4"):
        evaluate(config(tmp_path, checkpoint_dir=None, saved_model=str(exported), dataset_dir=shards))
    with pytest.raises(deeplab.UserError, match=r"compare=a=.*: 3 classes, not 4"):
        evaluate(compared(tmp_path, {"a": str(exported), "b": str(exported)}, dataset_dir=shards))
    with pytest.raises(deeplab.UserError, match=r"other classes: class 1 is 'kind 1', not 'tree'"):
        evaluate(config(tmp_path, checkpoint_dir=None, saved_model=str(exported), dataset_dir=renamed(tmp_path, 1)))
    bare = pathlib.Path(shutil.copytree(exported, tmp_path / "bare"))
    (bare / "model.json").unlink()
    with pytest.raises(deeplab.UserError, match=r"model.json: not the card of an export"):
        evaluate(config(tmp_path, checkpoint_dir=None, saved_model=str(bare)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint_dir": "nowhere"}, "checkpoint_dir=nowhere: no such folder"),
        ({"dataset_dir": "nowhere"}, "dataset_dir=nowhere: no such folder"),
        ({"eval_split": "test"}, "split 'test' does not exist"),
        ({"eval_crop_size": (33, 97)}, "crop size 33,97: images of val have up to 48x64 pixels"),
        ({"model": {"num_classes": 4}}, "4"),
        ({"checkpoint_dir": None}, "--checkpoint_dir"),
        ({"eval_batch_size": 0}, "eval_batch_size=0"),
        ({"saved_model": "nowhere"}, "saved_model='nowhere': expected one of --checkpoint_dir"),
        ({"checkpoint_dir": None, "saved_model": "nowhere"}, "saved_model=nowhere: no SavedModel there"),
        ({"checkpoint_dir": None, "saved_model": "x", "resize": ResizeConfig(33)}, "min_resize_value=33: .*brings its"),
        ({"checkpoint_dir": None, "saved_model": "x", "continuous": True}, "continuous=True"),
        ({"checkpoint": "all", "continuous": True}, "checkpoint='all': expected a single checkpoint"),
        (
            {"checkpoint": "all", "checkpoint_dir": None, "compare": ("a=x", "b=y")},
            "checkpoint='all': expected a single",
        ),
        ({"checkpoint": "all", "checkpoint_dir": "nowhere"}, "checkpoint_dir=nowhere: no folder with checkpoints"),
        ({"checkpoint": "all", "eval_crop_size": (33, 97)}, "crop size 33,97"),
        ({"checkpoint_dir": None, "compare": ("a=x", "a=y")}, "compare=.*each name once"),
        ({"checkpoint_dir": None, "compare": ("a=x",)}, "compare=.*two or more NAME=PATH"),
        ({"checkpoint_dir": None, "compare": ("a=x", "y")}, "compare=.*two or more NAME=PATH"),
        ({"checkpoint_dir": None, "compare": ("a=x", "b=y"), "eval_logdir": None}, "--eval_logdir"),
    ],
)
def test_bad_input_is_one_line(tmp_path, changes, message):
    with pytest.raises(deeplab.UserError, match=message) as error:
        evaluate(config(tmp_path, **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "eval").exists()


def renamed(tmp_path, label):
    """Returns a copy of the shards in whose dataset.json the class `label` is called tree."""
    folder = str(shutil.copytree(small_training.shards(), tmp_path / "renamed"))
    names = list(small_training.dataset().class_names)
    names[label] = "tree"
    catalog.save(dataclasses.replace(small_training.dataset(), class_names=names), folder)
    return folder


def test_another_data_set_than_that_of_the_training_is_refused(tmp_path):
    shards = fake_data.shards(tmp_path, {"val": 1}, num_classes=4)
    with pytest.raises(deeplab.UserError, match=r"not predict the classes of fake in .*: 3 classes, not 4"):
        evaluate(config(tmp_path, dataset_dir=shards))
    with pytest.raises(deeplab.UserError, match=r"other classes: class 2 is 'kind 2', not 'tree'"):
        evaluate(config(tmp_path, dataset_dir=renamed(tmp_path, 2)))


def test_boundaries_tables_and_plots_on_request(plain):
    found, printed, folder = plain
    assert list(found["trimap_miou"]) == ["1", "4"]
    assert 0 <= found["boundary_iou"] <= 1
    assert 0 <= found["boundary_f"] <= 1
    assert "mIoU within 4 px of the ignore label" in printed
    table = (folder / "confusion_matrix.csv").read_text().splitlines()
    assert table[0].split(",")[1:] == ["kind 0", "kind 1", "kind 2"]
    assert [[int(cell) for cell in row.split(",")[1:]] for row in table[1:]] == found["confusion_matrix"]
    for name in ("confusion_matrix.png", "trimap.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 100


@pytest.mark.slow
def test_watching_a_folder_ends_after_so_many_checkpoints(tmp_path):
    evaluate(config(tmp_path, continuous=True, max_number_of_evaluations=1))
    assert (tmp_path / "eval" / "results.json").exists()


@pytest.mark.slow
def test_watching_goes_on_where_the_training_removes_a_checkpoint(tmp_path, monkeypatch, capsys):
    folder, find = shutil.copytree(small_training.logdir(), tmp_path / "log"), trained.find

    def find_and_lose(directory, checkpoint="newest"):
        found = find(directory, checkpoint)
        if checkpoint == "model.ckpt-7":  # the training saves another one, and keeps only that
            for file in folder.glob("model.ckpt-7.*"):
                shutil.copy(file, folder / file.name.replace("-7", "-9"))
            bundle.prune(directory, 1)
        return found

    monkeypatch.setattr(trained, "find", find_and_lose)
    watching = config(tmp_path, checkpoint_dir=str(folder), continuous=True, max_number_of_evaluations=1)
    evaluate(watching)
    assert "model.ckpt-7 was removed before it could be read; going on with the next" in capsys.readouterr().out
    assert json.loads((tmp_path / "eval" / "results.json").read_text())["checkpoint"].endswith("model.ckpt-9")
    (folder / "model.ckpt-9.data-00000-of-00001").write_bytes(b"damaged")
    with pytest.raises(deeplab.UserError, match=r"model\.ckpt-9: damaged checkpoint"):
        evaluate(watching)
