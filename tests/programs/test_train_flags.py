"""What the flags of train decide before and around the steps: devices, data, initial weights, log, checkpoints."""

import contextlib
import itertools
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as framework_config

from deeplab import UserError, devices
from deeplab.checkpoints import bundle, restoring, sources
from deeplab.config.data import AugmentConfig
from deeplab.config.model import ModelConfig
from deeplab.config.training import LossConfig, OptimizerConfig, RunConfig, ScheduleConfig, TrainConfig
from deeplab.data import source
from deeplab.files import locks
from deeplab.programs import train, train_logdir
from deeplab.training import loop, progress, run_folder
from deeplab.training.state import Checkpoints
from helpers import small_training
from helpers import tiny_training as tiny

STEPS = 12
BASE = {  # a run in which each of the options below can be seen
    "log_steps": 4, "save_interval_steps": 4, "save_interval_secs": 10**6, "save_summaries_secs": 10**6,
    "eval_interval_steps": 6,
}  # fmt: skip
OTHERWISE = {
    "log_steps": 3,
    "save_interval_steps": 6,
    "save_interval_secs": 1,
    "keep_checkpoints": 1,
    "save_summaries_secs": 1,
    "save_summaries_images": False,
    "profile_logdir": "profile",
    "eval_interval_steps": 4,
}


class CountingRunner:
    """A `StepRunner` whose steps do nothing but count."""

    def __init__(self, config):
        self.count = tf.Variable(0, dtype=tf.int64)
        parts = {"model": types.SimpleNamespace(variables=[]), "state": lambda: {"global_step": self.count}}
        self.step = types.SimpleNamespace(config=config, updates=lambda: int(self.count), **parts)
        self.step.can_go_on = lambda results: True

    def run(self, count):
        self.count.assign_add(count)
        return {"loss": 1.0, "learning_rate": 0.1}

    def in_any_process(self, flag):
        return flag


def outcome(folder, monkeypatch, steps=STEPS, **options):
    """Returns what a training with the options of its `RunConfig` leaves behind, of which 100 seconds pass per look."""
    config = tiny.config(
        train_logdir=str(folder),
        schedule=ScheduleConfig(training_number_of_steps=steps),
        run=RunConfig(**{**BASE, **options}),
    )
    clock, evaluated, pictured, profiled = itertools.count(0, 100), [], [], []

    def sample(step, count):
        pictured.append(step)
        return (np.zeros((count, 2, 2, 3), np.uint8), *(np.zeros((count, 2, 2), np.uint8) for _ in range(2)))

    time = types.SimpleNamespace(monotonic=lambda: next(clock))
    profile = lambda folder: contextlib.nullcontext(profiled.append(folder))  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(loop, "time", time)
        patch.setattr(progress, "time", time)
        patch.setattr(tf.profiler.experimental, "Profile", profile)
        runner = CountingRunner(config)
        best = types.SimpleNamespace(evaluate=evaluated.append, why_over=lambda step: None)
        report = progress.Progress(config, sample=sample, colors=np.zeros((256, 3), np.uint8))
        checkpoints = Checkpoints(str(folder), runner.step, config.run.keep_checkpoints)
        loop.TrainingLoop(runner, checkpoints, report, None, best).train()
    logged = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    saved = sorted(path.name for path in folder.glob("*.index"))
    return {"logged": logged, "saved": saved, "evaluated": evaluated, "pictured": pictured, "profiled": profiled}


def test_every_option_of_the_log_and_the_checkpoints_changes_what_is_left(tmp_path, monkeypatch):
    plain = outcome(tmp_path / "plain", monkeypatch)
    assert plain == {
        "logged": [4, 8, 12],
        "saved": ["model.ckpt-12.index", "model.ckpt-4.index", "model.ckpt-8.index"],
        "evaluated": [6, 12],
        "pictured": [12],
        "profiled": [],
    }
    assert outcome(tmp_path / "short", monkeypatch, steps=8)["logged"] == [4, 8]
    for name, value in OTHERWISE.items():
        assert outcome(tmp_path / name, monkeypatch, **{name: value}) != plain, name


class Arrived(Exception):
    """Ends the program when everything that is asked about has arrived."""


@pytest.mark.parametrize("given", ["bfloat16", "auto"])
def test_devices_and_data_are_those_of_the_flags(given, monkeypatch):
    seen = []

    def open_split(*arguments):
        seen.extend(arguments)
        raise Arrived

    monkeypatch.setattr(devices, "training_strategy", lambda run: seen.append(run.distribution_strategy))
    monkeypatch.setattr(devices, "bfloat16", lambda: devices.Bfloat16(True, "it does"))
    monkeypatch.setattr(devices, "is_chief", lambda strategy: True)
    monkeypatch.setattr(devices, "set_seed", lambda *arguments: seen.extend(arguments))
    monkeypatch.setattr(devices, "set_precision", seen.append)
    monkeypatch.setattr(source, "open_split", open_split)
    run = RunConfig(distribution_strategy="mirrored", random_seed=3, deterministic=True, mixed_precision=given)
    config = TrainConfig(train_logdir="run", dataset_dir="shards", train_split="most", dataset="camvid", run=run)
    with pytest.raises(Arrived):
        train.train(config)
    assert seen == ["mirrored", 3, True, "bfloat16", "shards", "most", "camvid", config.input]


def test_a_tpu_is_looked_for_at_its_address_and_kernels_are_deterministic_on_request(monkeypatch):
    def resolver(tpu):
        raise ValueError("nobody")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", resolver)
    with pytest.raises(UserError, match=r"tpu='node-1': no TPU there \(nobody\)"):
        devices.training_strategy(RunConfig(tpu="node-1"))
    calls = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append("deterministic"))
    devices.set_seed(0, deterministic=False)
    assert calls == []
    devices.set_seed(0, deterministic=True)
    assert calls == ["deterministic"]


def test_batches_follow_the_flags():
    split = source.open_split(small_training.shards(), "val")

    def first(**options):
        settings = {"train_crop_size": (33, 41), "train_batch_size": 2, **options}
        config = TrainConfig(train_logdir="run", dataset_dir="shards", **settings)
        images, _labels, names = next(iter(train.batch_stream(config, split, ModelConfig())(0)))
        return images.numpy(), names.numpy().tolist()

    images, _names = first()
    assert images.shape == (2, 33, 41, 3)
    assert first(train_crop_size=(17, 17))[0].shape == (2, 17, 17, 3)
    assert first(train_batch_size=3)[0].shape == (3, 33, 41, 3)
    assert np.abs(first(run=RunConfig(random_seed=1))[0].astype(int) - images).max() > 8


def test_deterministic_trainings_see_the_same_batches():
    """Where TensorFlow has to be deterministic, it changes the options of tf.data, too."""
    split = source.open_split(small_training.shards(), "val")
    augment = AugmentConfig(color_jitter=0.2, rotation_degrees=10, blur_sigma=1)
    config = TrainConfig(train_logdir="run", dataset_dir="shards", train_crop_size=(33, 41), augment=augment)

    def batches():
        return [part.numpy() for batch in train.batch_stream(config, split, ModelConfig())(1).take(3) for part in batch]

    expected = batches()
    devices.set_seed(0, deterministic=True)
    try:
        found = batches()
    finally:
        framework_config.disable_op_determinism()
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_initial_weights_are_loaded_as_the_flags_say(monkeypatch):
    calls = []
    monkeypatch.setattr(sources, "read", lambda path: types.SimpleNamespace(path=path, values={}))
    monkeypatch.setattr(restoring, "restore", lambda network, file, *options, **_: calls.append((file.path, *options)))
    monkeypatch.setattr(restoring, "restore_backbone", lambda network, model_config, path, *_: calls.append(path))
    averages = types.SimpleNamespace(optimizer=types.SimpleNamespace(start_averages=lambda: None))
    checkpoints = types.SimpleNamespace(resume=lambda: None, step=averages)
    network = types.SimpleNamespace(config=ModelConfig(), variables=[])
    for options in (
        {"tf_initial_checkpoint": "old"},
        {"tf_initial_checkpoint": "old", "initialize_last_layer": False, "last_layers_contain_logits_only": True},
        {"backbone_weights": "weights.h5"},
        {},
    ):
        config = TrainConfig(train_logdir="run", dataset_dir="shards", **options)
        train.restore(config, None, network, checkpoints, small_training.dataset())
    assert calls == [("old", True, False), ("old", False, True), "weights.h5"]


def test_evaluations_follow_the_flags(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(source, "open_split", lambda folder, split, *_: seen.append(split))
    monkeypatch.setattr(train.pipeline, "refuse_unlabelled", lambda split: None)
    monkeypatch.setattr(train, "Predictor", lambda model, crop_size: None)
    monkeypatch.setattr(train.views, "any_size", lambda network: network)
    monkeypatch.setattr(train, "make_split_predictor", lambda *arguments: seen.append(arguments[-1]))
    run = RunConfig(eval_interval_steps=10, eval_split="test", eval_crop_size=(65, 97), patience=3)
    config = TrainConfig(train_logdir=str(tmp_path), dataset_dir="shards", run=run)
    best = train.best_checkpoint(config, None, None, types.SimpleNamespace(writes=False))
    assert seen == ["test", (65, 97)]
    assert best.patience_steps == 30


WITHOUT_EFFECT = {"loss": LossConfig(focal_gamma=5.0), "optimizer": OptimizerConfig(adam_epsilon=0.1)}


def claim(folder, **options):
    """Takes the train_logdir as the start of a training does."""
    config = TrainConfig(train_logdir=str(folder), dataset_dir="shards", **options)
    try:
        train_logdir.claim(config, config.model_config(3), small_training.dataset())
    finally:
        locks.release(str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (WITHOUT_EFFECT, "focal_gamma=5.0: has no effect without --loss=focal"),
        ({"model": {"merge_method": "avg"}}, "merge_method='avg': has no effect"),
        ({"dataset": "camvid"}, "--dataset=camvid: has no effect, because the data set is 'fake' with 3 classes"),
    ],
)
def test_options_without_effect_are_refused_but_a_training_that_began_with_them_goes_on(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        claim(tmp_path, **options)
    assert not (tmp_path / "config.json").exists()
    config = TrainConfig(train_logdir=str(tmp_path), dataset_dir="shards", **options)
    recorded = run_folder.recorded_options(config, config.model_config(3))
    run_folder.write_config(str(tmp_path), config.model_config(3), recorded["training"])  # as earlier versions did
    bundle.write(bundle.prefix_for(str(tmp_path), 1), {"global_step": np.int64(1)})
    claim(tmp_path, **options)
