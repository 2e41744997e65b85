"""python -m deeplab.train: what it refuses, what it says, what it leaves behind when something goes wrong."""

import dataclasses
import fcntl
import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from deeplab import cli
from deeplab.checkpoints import bundle
from deeplab.config.model import ModelConfig
from deeplab.config.optimization import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab.config.training import TrainConfig
from deeplab.errors import UserError
from deeplab.files import locks
from deeplab.layers.batch_norm import BatchNorm
from deeplab.programs import advice
from deeplab.train import train
from deeplab.training import progress, run_folder
from helpers import fake_data
from helpers import tiny_training as tiny

pytestmark = pytest.mark.usefixtures("short_mobilenet")
SMALL = (
    "--train_crop_size=33,33",
    "--train_batch_size=2",
    "--depth_multiplier=0.25",
    "--add_image_level_feature=false",
    "--training_number_of_steps=4",
    "--log_steps=2",
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return fake_data.shards(tmp_path_factory.mktemp("data"), {"train": 5, "val": 2})


@pytest.fixture
def run(shards, tmp_path):
    """Returns a function that trains into the folder tmp_path with flags and returns the exit code."""

    def run(*flags, folder=tmp_path, dataset_dir=shards):
        folders = (f"--train_logdir={folder}", f"--dataset_dir={dataset_dir}")
        try:
            return train(cli.read(TrainConfig, ["train", *folders, *SMALL, *flags]))
        finally:
            locks.release(str(folder))

    return run


@pytest.mark.slow
def test_a_training_leaves_what_the_other_programs_read(run, tmp_path, capsys):
    assert run("--eval_interval_steps=4", "--save_interval_steps=2") is None
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "dataset.json", "checkpoint", "model.ckpt-4.index", "metrics.jsonl", "best"} <= names
    assert json.loads((tmp_path / "config.json").read_text())["trained_size"] == [48, 64]
    values = bundle.read(str(tmp_path / "model.ckpt-4"))
    assert values["global_step"] == 4
    assert "logits/semantic/weights/Momentum" in values
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 4]
    assert 0 <= lines[-1]["mean_iou"] <= 1
    assert lines[-1]["mean_iou"] == json.loads((tmp_path / "best" / "score.json").read_text())["mean_iou"]
    said = capsys.readouterr().out
    assert "step 4/4  loss " in said
    assert "images/s" in said
    assert run() is None  # nothing left to do
    with pytest.raises(UserError, match=r"config\.json.*base_learning_rate was 0\.0001, now 0\.5"):
        run("--base_learning_rate=0.5")
    assert bundle.read(str(tmp_path / "model.ckpt-4"))["global_step"] == 4
    assert "done all of its 4 steps; a larger --training_number_of_steps goes on" in capsys.readouterr().out
    written = (tmp_path / "config.json").read_bytes()
    assert run("--training_number_of_steps=2", "--decay_steps=3") is None
    assert "has done 4 steps, more than --training_number_of_steps=2" in capsys.readouterr().out
    assert (tmp_path / "config.json").read_bytes() == written  # it tells how the weights came about
    assert run("--training_number_of_steps=6") is None
    assert re.search(r"=6 in place of 4: .* from 2.87e-05 at step 4 to 3.72e-05 at step 5\.", capsys.readouterr().out)
    assert json.loads((tmp_path / "config.json").read_text())["training"]["schedule"]["training_number_of_steps"] == 6


@pytest.mark.slow
def test_a_folder_without_a_checkpoint_is_configured_anew(run, tmp_path, capsys):
    with pytest.raises(UserError, match="no checkpoint yet, so the same command takes a lower --base_learning_rate"):
        run("--base_learning_rate=1e30")
    assert run("--base_learning_rate=1e-3") is None
    assert "takes other options: base_learning_rate was 1e+30, now 0.001" in capsys.readouterr().out
    assert json.loads((tmp_path / "config.json").read_text())["training"]["schedule"]["base_learning_rate"] == 1e-3


def test_a_best_checkpoint_is_a_checkpoint(tmp_path):
    model = dataclasses.asdict(ModelConfig())
    before, now = ({"model": model, "training": {"loss": {"focal_gamma": gamma}}} for gamma in (1.0, 2.0))
    run_folder.write_config(str(tmp_path), ModelConfig(), before["training"])
    assert run_folder.refuse_changed_options(str(tmp_path), now)["training"] == before["training"]
    bundle.write(str(tmp_path / "best" / "model.ckpt-2"), {"global_step": np.int64(2)})
    with pytest.raises(UserError, match=r"focal_gamma was 1\.0, now 2\.0"):
        run_folder.refuse_changed_options(str(tmp_path), now)


def test_a_schedule_that_changes_must_have_an_effect(run, tmp_path, shards):
    cosine = cli.read(TrainConfig, ["train", "--learning_policy=cosine", "--train_logdir=x", "--dataset_dir=x", *SMALL])
    options = run_folder.recorded_options(cosine, cosine.model_config(3))
    run_folder.write_config(str(tmp_path), cosine.model_config(3), options["training"])
    bundle.write(str(tmp_path / "model.ckpt-2"), {"global_step": np.int64(2)})
    with pytest.raises(UserError, match=r"decay_steps=3\.0: has no effect without --learning_policy=poly"):
        run("--learning_policy=cosine", "--decay_steps=3")


def test_a_schedule_of_another_version_is_read(tmp_path):
    values = {"training_number_of_steps": 7, "removed_option": 1}  # others did not exist yet
    recorded = {"training": {"schedule": values}}
    found = run_folder.recorded_schedule(str(tmp_path), recorded, ScheduleConfig(decay_steps=5.0))
    assert found == ScheduleConfig(decay_steps=5.0, training_number_of_steps=7)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_training(run, tmp_path):
    assert run("--save_interval_steps=2", "--training_number_of_steps=2") is None
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"base_learning_rate": 0.0001', '"base_learning_rate": 1e+30'))
    with pytest.raises(
        UserError, match=r"the loss is not finite at step \d.*batch of: img_\d.*model\.ckpt-2.*untouched"
    ):
        run("--base_learning_rate=1e30", "--training_number_of_steps=12")
    assert bundle.latest(str(tmp_path)) == str(tmp_path / "model.ckpt-2")


@pytest.mark.slow
def test_a_label_outside_the_classes_is_named(run, tmp_path, shards):
    copy = tmp_path / "shards"
    copy.mkdir()
    for path in pathlib.Path(shards).iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    content = json.loads((copy / "dataset.json").read_text())
    content.update(num_classes=2, class_names=[], colors=[], class_histogram=[], class_image_pixels={})
    (copy / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"img_\d.*label value 2 is outside the classes 0 to 1"):
        run(folder=tmp_path / "log", dataset_dir=copy)
    assert bundle.latest(str(tmp_path / "log")) is None


def test_a_damaged_newest_checkpoint_falls_back(run, tmp_path, capsys):
    run("--save_interval_steps=2")
    data = tmp_path / "model.ckpt-4.data-00000-of-00001"
    content = bundle.read(str(tmp_path / "model.ckpt-4"))
    data.write_bytes(data.read_bytes()[:1000])
    capsys.readouterr()
    run("--save_interval_steps=2")
    said = capsys.readouterr().out
    assert "model.ckpt-4: damaged checkpoint" in said
    assert "at step 2" in said
    again = bundle.read(str(tmp_path / "model.ckpt-4"))
    assert all(np.array_equal(content[name], again[name]) for name in content)


def test_a_folder_has_one_process(run, tmp_path):
    with open(tmp_path / "lock", "a+") as file:
        file.write("4711")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="process 4711 trains there now"):
            run()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num_clones=2"], "--num_clones does not exist any more: .*distribution_strategy"),
        (["--quantize_delay_step=5"], "quantize at export"),
        (["--train_crop_size=33"], "train_crop_size"),
        (["--gradient_accumulation_steps=3"], "divisor of train_batch_size=2"),
        (["--train_split=nowhere"], "nowhere"),
        (["--train_split=train,train"], "train_split='train,train': expected .*different splits"),
        (["--label_weights=1,2"], "label_weights"),
        (["--class_weights=/nowhere.txt"], r"class_weights=/nowhere\.txt"),
        (["--tf_initial_checkpoint=/nowhere"], "/nowhere"),
        (["--distribution_strategy=multi_worker_mirrored"], "TF_CONFIG"),
    ],
)
def test_nonsense_is_one_line(run, flags, message):
    with pytest.raises(UserError, match=message) as caught:
        run(*flags)
    assert "\n" not in str(caught.value)


def test_metrics_of_steps_that_come_again_are_forgotten(tmp_path):
    path = tmp_path / progress.METRICS_FILE
    path.write_text('{"step": 2, "loss": 1}\n{"step": 4, "loss": 1}\n{"step": 6, "lo')
    config = TrainConfig(train_logdir=str(tmp_path), dataset_dir="unused")
    log = progress.Progress(config, start_step=2)
    log.note(4, {"loss": 2.0})
    log.note(6, {"loss": 3.0})
    resumed = progress.Progress(config, start_step=4)
    resumed.note(5, {"loss": 4.0})
    assert points(tmp_path, "loss") == [(4, 2.0), (5, 4.0)]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 2, "loss": 1},
        {"step": 4, "loss": 2.0},
        {"step": 5, "loss": 4.0},
    ]


def test_half_an_event_is_no_obstacle(tmp_path):
    config = TrainConfig(train_logdir=str(tmp_path), dataset_dir="unused")
    log = progress.Progress(config)
    for step in (2, 4, 6):
        log.note(step, {"loss": 1.0})
    (path,) = tmp_path.glob("events*")
    path.write_bytes(path.read_bytes()[:-7])
    progress.Progress(config, start_step=2)
    assert points(tmp_path, "loss") == [(2, 1.0)]


def points(folder, name):
    """Returns the (step, value) of a curve, as programs read it with TensorBoard's classes."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    curves = event_accumulator.EventAccumulator(str(folder)).Reload()
    found = curves.Tensors(name) if name in curves.Tags()["tensors"] else []
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in found]


def test_time_is_given_in_hours_minutes_seconds():
    assert progress.time_text(3723.4) == "1:02:03"


def test_what_small_parts_of_a_batch_change_is_told(capsys):
    network = tiny.network()
    pixel = tf.keras.Input((1, 1, 2))
    pooled = tf.keras.Model(pixel, BatchNorm(1e-3, 0.9, name="image_pooling.BatchNorm")(pixel))
    folders = {"train_logdir": "unused", "dataset_dir": "unused"}
    parts = {"optimizer": OptimizerConfig(gradient_accumulation_steps=4)}
    every = LossConfig(top_k_percent_pixels=0.25, region_loss="dice")
    for options in ({}, parts, {"loss": every}):
        advice.tell_small_parts(TrainConfig(**folders, **options), network)
    assert capsys.readouterr().out == ""
    advice.tell_small_parts(TrainConfig(**folders, **parts, loss=every), network)
    assert "=4: top_k_percent_pixels=0.25 and region_loss=dice see each part" in capsys.readouterr().out
    for batch_size, told in ((1, True), (3, True), (4, False)):
        advice.tell_small_parts(TrainConfig(**folders, train_batch_size=batch_size), pooled)
        line = f"With {batch_size} image{'s' * (batch_size > 1)} at a time, image_pooling.BatchNorm would see"
        assert (line in capsys.readouterr().out) == told
