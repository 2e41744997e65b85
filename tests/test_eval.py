"""Scores of a split: what they must not depend on, what is written, what is refused."""

import json

import fake_data
import numpy as np
import pytest
import small_training
from PIL import Image

import deeplab
from deeplab import evaluation
from deeplab.config.data import ResizeConfig
from deeplab.config.inference import EvalConfig, TilesConfig
from deeplab.data import pipeline, source
from deeplab.eval import evaluate
from deeplab.metrics import Scores

pytestmark = pytest.mark.usefixtures("short_mobilenet")


def config(tmp_path, **changes):
    paths = {"checkpoint_dir": small_training.logdir(), "dataset_dir": small_training.shards()}
    return EvalConfig(**{**paths, "eval_logdir": str(tmp_path / "eval"), **changes})


def results(tmp_path, **changes):
    settings = config(tmp_path, **changes)
    evaluate(settings)
    with open(f"{settings.eval_logdir}/results.json") as file:
        return json.load(file)


def test_scores_are_those_of_predict_labels(tmp_path, capsys):
    found = results(tmp_path)
    model = deeplab.load(small_training.logdir()).model
    confusion = np.zeros((3, 3), np.int64)
    split = source.open_split(small_training.shards(), "val")
    for example in pipeline.eval_examples(split, dct_method=evaluation.DCT_METHOD):
        labels = example["label"].numpy().ravel()
        predictions = deeplab.predict_labels(model, example["image"][None])[0].numpy().ravel()
        valid = labels != 255
        np.add.at(confusion, (labels[valid], predictions[valid]), 1)
    np.testing.assert_array_equal(found["confusion_matrix"], confusion)
    assert found["miou"] == pytest.approx(Scores.of(confusion).mean_iou)
    assert (confusion.sum(axis=0) > 0).all()  # every class is predicted somewhere
    assert (found["step"], found["num_images"], found["eval_crop_size"]) == (7, 5, [49, 65])
    assert [entry["name"] for entry in found["classes"]] == ["kind 0", "kind 1", "kind 2"]
    assert f"mIoU {found['miou']:.4f}" in capsys.readouterr().out


def test_scores_do_not_depend_on_the_batch_size(tmp_path):
    matrices = [results(tmp_path, eval_batch_size=size)["confusion_matrix"] for size in (1, 2, 4)]
    assert matrices[0] == matrices[1] == matrices[2]


def test_tiles_that_hold_the_images_score_the_same(tmp_path):
    whole = np.array(results(tmp_path, eval_crop_size=(65, 65))["confusion_matrix"])
    tiled = np.array(results(tmp_path, tiles=TilesConfig((65, 65), 8))["confusion_matrix"])
    assert np.abs(whole - tiled).sum() <= 4  # pixels where two classes are equal but for rounding


def test_images_may_be_resized_and_cropped_as_the_reference_does(tmp_path):
    found = results(tmp_path, eval_crop_size=(97, 97), resize=ResizeConfig(33, 65, 16))
    assert np.sum(found["confusion_matrix"]) == 5 * 32 * 49  # 48x64 becomes 33x49; the first row is ignored
    assert found["eval_crop_size"] == [97, 97]


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
    ],
)
def test_bad_input_is_one_line(tmp_path, changes, message):
    with pytest.raises(deeplab.UserError, match=message) as error:
        evaluate(config(tmp_path, **changes))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "eval").exists()


def test_another_data_set_than_that_of_the_training_is_refused(tmp_path):
    shards = fake_data.shards(tmp_path, {"val": 1}, num_classes=4)
    with pytest.raises(deeplab.UserError, match=r"predicts 3 classes, fake in .* has 4"):
        evaluate(config(tmp_path, dataset_dir=shards))


def test_boundaries_tables_and_plots_on_request(tmp_path, capsys):
    found = results(tmp_path, trimap_widths=(1, 4), boundary_scores=True)
    assert list(found["trimap_miou"]) == ["1", "4"]
    assert 0 <= found["boundary_iou"] <= 1
    assert 0 <= found["boundary_f"] <= 1
    assert "mIoU within 4 px of the ignore label" in capsys.readouterr().out
    table = (tmp_path / "eval" / "confusion_matrix.csv").read_text().splitlines()
    assert table[0].split(",")[1:] == ["kind 0", "kind 1", "kind 2"]
    assert [[int(cell) for cell in row.split(",")[1:]] for row in table[1:]] == found["confusion_matrix"]
    for name in ("confusion_matrix.png", "trimap.png"):
        with Image.open(tmp_path / "eval" / name) as picture:
            assert min(picture.size) > 100


def test_watching_a_folder_ends_after_so_many_checkpoints(tmp_path):
    evaluate(config(tmp_path, continuous=True, max_number_of_evaluations=1))
    assert (tmp_path / "eval" / "results.json").exists()
