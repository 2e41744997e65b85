"""What a network predicts for an image does not depend on the other images: scores, pictures, batches, devices."""

import functools
import json

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab import devices
from deeplab.config.data import ResizeConfig
from deeplab.config.inference import EvalConfig, PassesConfig, PredictConfig, VisConfig
from deeplab.data import pipeline, source
from deeplab.eval import evaluate
from deeplab.evaluation import batches, scoring
from deeplab.evaluation.boundary import BoundaryScores
from deeplab.evaluation.split_predictor import make_split_predictor
from deeplab.inference import exports
from deeplab.inference.predictor import Predictor
from deeplab.predict import predict
from deeplab.train import train
from deeplab.vis import visualize
from helpers import fake_data, small_export, small_training, tiny_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")

SIZES = ((48, 64), (40, 33), (65, 65), (48, 61), (33, 40), (40, 33), (37, 50))  # (48, 64) and (48, 61) share 49x65
HUGE = (130, 150)
RESIZE = ResizeConfig(33, 65, 16)
SCALE = 0.5


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A dataset_dir whose images have many sizes, and one with a huge picture more, of which nothing is labelled."""
    folder = tmp_path_factory.mktemp("mixed")
    return [fake_data.mixed_shards(folder / name, SIZES, void) for name, void in (("some", ()), ("more", (HUGE,)))]


def everything(model, folder, resize, batch_size, strategy=None):
    """Returns the confusion matrices at both sizes, and the scores at boundaries."""
    split = source.open_split(folder, "val")
    split_predictor = make_split_predictor(Predictor(model), split, resize, strategy=strategy)
    edges = BoundaryScores((1, 4), True, split.dataset)
    scores = scoring.score(split_predictor, batch_size, edges.collectors)
    return scores.seen.confusion.tolist(), scores.source.confusion.tolist(), edges.trimap_miou(), edges.contours()


def by_predict_labels(model, folder, **passes):
    confusion = np.zeros((3, 3), np.int64)
    for example in batches.examples(source.open_split(folder, "val")):
        labels = example["label"].numpy()
        predictions = deeplab.predict_labels(model, example["image"][None], **passes)[0][0].numpy()
        np.add.at(confusion, (labels[labels != 255], predictions[labels != 255]), 1)
    return confusion.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("resize", [ResizeConfig(), RESIZE])
def test_scores_do_not_depend_on_other_images_batches_or_devices(shards, resize):
    model = deeplab.load(small_training.logdir()).model
    expected = everything(model, shards[0], resize, 1)
    if resize is not RESIZE:
        assert expected[0] == by_predict_labels(model, shards[0])
    for folder, batch_size in ((shards[1], 1), (shards[0], 2), (shards[1], 3)):
        np.testing.assert_equal(everything(model, folder, resize, batch_size), expected)
    strategy = devices.evaluation_strategy("mirrored")
    with strategy.scope():
        model = deeplab.load(small_training.logdir()).model
    np.testing.assert_equal(everything(model, shards[1], resize, 2, strategy), expected)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mobilenet_v3_small_seg", "resnet_v1_18_beta"])
def test_every_family_scores_as_predict_labels(shards, variant):
    """resnet_v1_18_beta has a padding pixel that is not grey."""
    model = deeplab.build_model(deeplab.ModelConfig(model_variant=variant, num_classes=3, output_stride=16))
    split = source.open_split(shards[1], "val")
    scores = scoring.score(make_split_predictor(Predictor(model), split, ResizeConfig()), 2)
    assert scores.seen.confusion.tolist() == by_predict_labels(model, shards[1])


@pytest.mark.slow
def test_one_scale_counts_in_every_program(shards, tmp_path):
    """One scale other than 1: eval and its record, vis, predict and an export see what predict_labels sees."""
    folder, passes = shards[0], {"eval_scales": (SCALE,), "add_flipped_images": True}
    paths = {"checkpoint_dir": small_training.logdir(), "dataset_dir": folder, "passes": PassesConfig(**passes)}
    evaluate(EvalConfig(**paths, eval_logdir=str(tmp_path / "eval"), eval_batch_size=2))
    with open(tmp_path / "eval" / "results.json") as file:
        found = json.load(file)
    model = deeplab.load(small_training.logdir()).model
    assert found["confusion_matrix"] == by_predict_labels(model, folder, **passes)
    assert found["confusion_matrix"] != by_predict_labels(model, folder)
    assert (found["eval_scales"], found["add_flipped_images"], found["eval_crop_size"]) == ([SCALE], True, None)
    options = {"vis_batch_size": 2, "max_images": 4, "also_save_raw_predictions": True}
    visualize(VisConfig(**paths, vis_logdir=str(tmp_path / "vis"), **options))
    inputs = {"input": f"{folder}/../images", "output": str(tmp_path / "predict"), "passes": paths["passes"]}
    predict(PredictConfig(checkpoint_dir=paths["checkpoint_dir"], **inputs))
    export = exports.load(
        str(small_export.run(tmp_path / "export", inference_scales=(SCALE,), add_flipped_images=True))
    )
    drawn = sorted((tmp_path / "vis" / "raw_segmentation_results").iterdir())
    assert [path.name for path in drawn] == [f"img_{i}.png" for i in range(4)]  # max_images: the first in file order
    for i, example in enumerate(batches.examples(source.open_split(folder, "val"))):
        expected = deeplab.predict_labels(model, example["image"][None], **passes)[0][0].numpy()
        for path in (*drawn[i : i + 1], tmp_path / "predict" / f"img_{i}.png"):
            with Image.open(path) as ids:
                np.testing.assert_array_equal(np.asarray(ids), expected)
        assert np.mean(export.segment(example["image"].numpy()) == expected) > 0.99  # batch norms are folded


@pytest.mark.parametrize(
    ("shapes", "batch_size", "in_order", "expected"),
    [
        ([(1,), (2,), (1,), (1,), (2,)], 2, False, [[1, 4], [0, 2], [3]]),
        ([(1,), (2,), (1,), (1,), (2,)], 2, True, [[0], [1], [2, 3], [4]]),
        ([(1,), (2,), (3,)], 4, False, [[2], [1], [0]]),
        ([(1,)] * 5, 2, False, [[0, 1], [2, 3], [4]]),
        ([(1,)] * 5, 2, True, [[0, 1], [2, 3], [4]]),
    ],
)
def test_images_of_one_shape_share_batches(shapes, batch_size, in_order, expected):
    assert batches.plan(shapes, lambda shape: batch_size, in_order) == expected


def test_a_split_without_labels_is_refused_at_the_start(tmp_path, monkeypatch):
    folder = fake_data.mixed_shards(tmp_path, (), (HUGE, (48, 64)))
    message = r"split 'val' of .*shards: all pixels of its 2 labels have the ignore label 255, .*name another split"
    monkeypatch.setattr(scoring, "score", None)
    logdir = str(tmp_path / "log")
    paths = {"checkpoint_dir": small_training.logdir(), "dataset_dir": folder, "eval_logdir": logdir}
    programs = [
        lambda: evaluate(EvalConfig(**paths)),
        lambda: train(tiny_training.config(train_logdir=logdir, dataset_dir=folder, train_split="val")),
    ]
    for program in programs:
        with pytest.raises(deeplab.UserError, match=message) as error:
            program()
        assert "\n" not in str(error.value)
        assert not (tmp_path / "log").exists()


def test_a_labelled_pixel_anywhere_is_enough(shards):
    pipeline.refuse_unlabelled(source.open_split(shards[1], "val"))
    assert source.open_split(shards[1], "val").folder == shards[1]


@pytest.mark.slow
def test_trimaps_without_ignored_pixels_are_no_empty_plot(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fake_data, "label", functools.partial(fake_data.label, ignore=0))
    folder, logdir = fake_data.mixed_shards(tmp_path, SIZES[:2]), tmp_path / "eval"
    networks = {"dataset_dir": folder, "checkpoint_dir": small_training.logdir(), "eval_logdir": str(logdir)}
    evaluate(EvalConfig(**networks, trimap_widths=(1, 4), boundary_scores=True))
    printed = capsys.readouterr().out.splitlines()
    why = "Drew no trimap.png: no labelled pixel of val lies within 4 px of a pixel with the ignore label 255"
    assert why in printed
    assert not (logdir / "trimap.png").exists()
    found = json.loads((logdir / "results.json").read_text())
    assert found["trimap_miou"] == {"1": None, "4": None}
    assert found["boundary_iou"] > 0  # boundaries of classes need no ignored pixels
