"""Training, evaluation and export as functions: what they return, and how they answer mistakes."""

import json
import pathlib

import pytest
import tensorflow as tf

import deeplab
from deeplab.files import locks
from deeplab.programs import functions, train
from helpers import small_training

pytestmark = pytest.mark.usefixtures("shortest_mobilenet")

FUNCTIONS = (deeplab.train_model, deeplab.evaluate_model, deeplab.export_model)


@pytest.mark.slow
def test_a_training_is_made_scored_exported_and_used(tmp_path, capsys):
    options = {
        "train_logdir": tmp_path / "run",
        "dataset_dir": small_training.shards(),
        "train_crop_size": (65, 65),
        "train_batch_size": 1,
        "training_number_of_steps": 2,
        "depth_multiplier": 0.25,
        "log_steps": 1,
        "eval_interval_steps": 2,
        "mixed_precision": "bfloat16",
        "save_summaries_images": False,
    }
    before = tf.keras.mixed_precision.global_policy().name
    made = deeplab.train_model(**options)
    assert made.train_logdir == str(tmp_path / "run")
    assert (made.step, made.is_over) == (2, True)
    assert made.checkpoint == f"{made.train_logdir}/model.ckpt-2"
    assert made.best["step"] == 2
    assert made.metrics["step"] == 2
    assert tf.keras.mixed_precision.global_policy().name == before
    assert made.train_logdir not in locks._taken  # another process may go on
    further = deeplab.train_model(**{**options, "training_number_of_steps": 3, "eval_interval_steps": 0})
    assert (further.step, further.best) == (3, made.best)

    common = {"checkpoint_dir": made.train_logdir, "dataset_dir": small_training.shards()}
    scores = deeplab.evaluate_model(**common, eval_split="val")
    assert scores == json.loads((tmp_path / "run" / "eval_val" / "results.json").read_text())
    assert scores["step"] == 3
    every = deeplab.evaluate_model(**common, checkpoint="all")["checkpoints"]
    assert list(every) == ["model.ckpt-2", "model.ckpt-3"]

    folder = deeplab.export_model(checkpoint_dir=made.train_logdir, export_path=tmp_path / "export")
    assert folder == str(tmp_path / "export" / "1")
    assert f"Wrote {folder}" in capsys.readouterr().out
    compared = deeplab.evaluate_model(
        compare=(f"run={made.train_logdir}", f"file={folder}"),
        dataset_dir=small_training.shards(),
        eval_logdir=tmp_path / "compared",
    )
    assert set(compared["networks"]) == {"run", "file"}
    assert len(deeplab.Segmenter.load(folder)(small_training.pictures())) == 3


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (deeplab.train_model, {"learning_rate": 1}, "is no keyword of train_model; did you mean base_learning_rate"),
        (deeplab.train_model, {"train_crop_sizes": 1}, "did you mean train_crop_size"),
        (deeplab.train_model, {"zzz": 1}, "zzz is no keyword of train_model; python -m deeplab.train --help lists"),
        (deeplab.train_model, {"num_clones": 2}, "num_clones does not exist any more: "),
        (deeplab.train_model, {"train_crop_size": 65}, "train_crop_size=65: expected a sequence of int"),
        (deeplab.train_model, {"train_batch_size": "8"}, "train_batch_size='8': expected int"),
        (deeplab.train_model, {"optimizer": "adma"}, "optimizer='adma': expected one of .* did you mean adam"),
        (deeplab.train_model, {"dry_run": True}, "dry_run is no keyword of train_model"),
        (deeplab.evaluate_model, {"dry_run": True}, "dry_run is no keyword of evaluate_model"),
        (deeplab.export_model, {"dry_run": True}, "dry_run is no keyword of export_model"),
        (deeplab.train_model, {}, "train_logdir="),
        (deeplab.evaluate_model, {"data_dir": "x"}, "did you mean dataset_dir"),
        (deeplab.evaluate_model, {}, "one of --checkpoint_dir"),
        (
            deeplab.evaluate_model,
            {"checkpoint_dir": "a", "dataset_dir": "b", "continuous": True},
            "continuous=True: expected False, since a function has to return",
        ),
        (deeplab.evaluate_model, {"checkpoint_dir": pathlib.Path("nowhere"), "dataset_dir": "b"}, "nowhere|b"),
        (deeplab.export_model, {"export_path": "x", "checkpoint_dir": "y", "format": "onx"}, "did you mean onnx"),
        (deeplab.export_model, {"checkpoint_dir": "y"}, "export_path=None"),
    ],
)
def test_mistakes_are_told_as_the_programs_tell_them(function, options, message):
    with pytest.raises(deeplab.UserError, match=message) as raised:
        function(**options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_there_are_keywords_only(function):
    with pytest.raises(TypeError, match="positional"):
        function("run")


def test_what_ends_a_training_gives_the_folder_and_the_compute_type_back(tmp_path, monkeypatch):
    def interrupted(config):
        locks.take(config.train_logdir, "train_logdir", "trains")
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deeplab.train_model(train_logdir=tmp_path, dataset_dir="shards")
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    assert str(tmp_path) not in locks._taken


def test_a_training_that_was_stopped_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "train", lambda config: 75)
    made = deeplab.train_model(train_logdir=small_training.logdir(), dataset_dir="shards")
    assert made == functions.Training(
        small_training.logdir(), 7, f"{small_training.logdir()}/model.ckpt-7", {}, None, False
    )
