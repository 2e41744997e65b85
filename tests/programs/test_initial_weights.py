"""What a training starts from: the weights of another training, and the classes that their logits belong to."""

import dataclasses
import shutil

import numpy as np
import pytest

import deeplab
from deeplab.checkpoints import bundle
from deeplab.config.training import MAY_CHANGE, RunConfig, TrainConfig
from deeplab.data import catalog
from deeplab.files import locks
from deeplab.inference import trained
from deeplab.model.names import reference_name
from deeplab.programs import initial_weights, train_logdir
from helpers import small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")
KERNEL, BIAS = "logits/semantic/weights", "logits/semantic/biases"
NAMES = small_training.dataset().class_names


def named(*names):
    return catalog.Dataset("own", len(names), class_names=names)


@pytest.fixture
def logdir(tmp_path):
    """A train_logdir with a best checkpoint, which has moving averages."""
    folder = shutil.copytree(small_training.logdir(), tmp_path / "logdir")
    values = bundle.read(str(folder / "model.ckpt-7"))
    average = {f"{BIAS}/ExponentialMovingAverage": values[BIAS] + 1}
    bundle.write(str(folder / "best" / "model.ckpt-5"), values | average)
    return folder


def loaded(dataset, path, **options):
    """Returns {name: array} of the logits before and after loading."""
    config = TrainConfig(train_logdir="unused", dataset_dir="shards", tf_initial_checkpoint=str(path), **options)
    recorded, _size = trained._read_config(str(small_training.logdir()))
    model_config = dataclasses.replace(recorded, num_classes=dataset.num_classes)
    network = deeplab.build_model(model_config, (65, 65, 3))

    def logits():
        return {
            reference_name(v): np.array(v.numpy()) for v in network.variables if reference_name(v) in (KERNEL, BIAS)
        }

    before = logits()
    initial_weights.load(config, model_config, network, dataset)
    return before, logits()


@pytest.mark.parametrize("place", ["best", "best/model.ckpt-5"])
def test_moving_averages_are_taken_as_eval_takes_them(logdir, place, capsys):
    values = bundle.read(str(logdir / "best" / "model.ckpt-5"))
    _before, after = loaded(small_training.dataset(), logdir / place)
    np.testing.assert_array_equal(after[BIAS], values[BIAS] + 1)
    assert "These are the moving averages of the weights; --nouse_moving_averages" in capsys.readouterr().out
    _before, after = loaded(small_training.dataset(), logdir / place, use_moving_averages=False)
    np.testing.assert_array_equal(after[BIAS], values[BIAS])
    assert "moving average of the weights (use_moving_averages=False)" in capsys.readouterr().out


def test_classes_in_another_order_are_refused_or_mapped(logdir, capsys):
    values = bundle.read(str(logdir / "model.ckpt-7"))
    turned = named(NAMES[2], NAMES[0], NAMES[1])
    with pytest.raises(
        deeplab.UserError, match=r"the same classes in another order: class 0 .* With --map_classes_by_name, 3 classes"
    ):
        loaded(turned, logdir)
    _before, after = loaded(turned, logdir, map_classes_by_name=True)
    np.testing.assert_array_equal(after[KERNEL], values[KERNEL][..., [2, 0, 1]])
    np.testing.assert_array_equal(after[BIAS], values[BIAS][[2, 0, 1]])
    assert "3 of 3 classes start from the logits of the same name in" in capsys.readouterr().out
    before, after = loaded(turned, logdir, initialize_last_layer=False, last_layers_contain_logits_only=True)
    np.testing.assert_array_equal(after[BIAS], before[BIAS])


def test_new_classes_begin_anew_and_known_ones_go_on(logdir, capsys):
    values = bundle.read(str(logdir / "model.ckpt-7"))
    more = named("sky", NAMES[1], "car", NAMES[0])
    before, after = loaded(more, logdir)
    np.testing.assert_array_equal(after[KERNEL], before[KERNEL])
    assert "--map_classes_by_name would start 2 of 4 classes from their logits" in capsys.readouterr().out
    before, after = loaded(more, logdir, map_classes_by_name=True)
    np.testing.assert_array_equal(after[KERNEL][..., [1, 3]], values[KERNEL][..., [1, 0]])
    np.testing.assert_array_equal(after[KERNEL][..., [0, 2]], before[KERNEL][..., [0, 2]])
    with pytest.raises(deeplab.UserError, match="the classes of own in shards have no names"):
        loaded(catalog.Dataset("own", 3), logdir, map_classes_by_name=True)


def test_what_a_training_starts_from_may_change_when_it_resumes():
    assert {"tf_initial_checkpoint", "use_moving_averages", "map_classes_by_name"} <= MAY_CHANGE


def test_a_training_is_not_resumed_with_other_classes_or_another_split(tmp_path):
    folder = str(tmp_path)
    config = TrainConfig(train_logdir=folder, dataset_dir="shards")
    model_config = deeplab.ModelConfig(num_classes=3)
    try:
        small_training.begin(config, model_config, small_training.dataset())
        small_training.begin(config, model_config, dataclasses.replace(small_training.dataset(), splits={"train": 9}))
        small_training.begin(config, model_config, catalog.Dataset("nameless", 3))
        small_training.begin(config, model_config, small_training.dataset())
        with pytest.raises(
            deeplab.UserError, match=r"dataset\.json: this training has the same classes in another order: .* Resume"
        ):
            train_logdir.claim(config, model_config, named(NAMES[1], NAMES[0], NAMES[2]))
        small_training.begin(config, model_config, dataclasses.replace(small_training.dataset(), splits={"train": 9}))
        grown = dataclasses.replace(small_training.dataset(), splits={"train": 10})
        with pytest.raises(deeplab.UserError, match=r"began with 9 images in train, shards has 10\. Resume with the"):
            train_logdir.claim(config, model_config, grown)
        before = (tmp_path / "config.json").read_text()
        (tmp_path / "best").mkdir()
        (tmp_path / "best" / "score.json").write_text('{"mean_iou": 0.3, "step": 5, "split": "val"}')
        run = RunConfig(eval_interval_steps=5, eval_split="train")
        with pytest.raises(deeplab.UserError, match=r"score\.json: the best checkpoint was chosen by its score on val"):
            train_logdir.claim(dataclasses.replace(config, run=run), model_config, small_training.dataset())
        assert (tmp_path / "config.json").read_text() == before
    finally:
        locks.release(folder)
    assert trained.read_dataset(folder).class_names == NAMES
