"""A train_logdir as one object."""

import json
import shutil

import numpy as np
import pytest

import deeplab
from deeplab.checkpoints import bundle
from deeplab.data import catalog
from deeplab.inference import trained
from deeplab.model.names import reference_name
from deeplab.training import run_folder
from helpers import small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")


@pytest.fixture
def logdir(tmp_path):
    return shutil.copytree(small_training.logdir(), tmp_path / "logdir")


def test_everything_is_there_and_any_size_goes_in(logdir):
    loaded = deeplab.load(str(logdir))
    assert loaded.step == 7
    assert loaded.config.decoder_output_stride == (4,)
    assert loaded.config.crop_size is None  # 65x65 in training
    assert loaded.dataset == small_training.dataset()
    assert not loaded.report.missing
    assert loaded.folder == str(logdir)
    assert loaded.checkpoint.endswith("model.ckpt-7")


@pytest.mark.parametrize(("recorded", "expected"), [([48, 64], (48, 64)), ("half", None), ([7], None), ({}, None)])
def test_the_size_of_the_training_images(logdir, recorded, expected):
    assert trained.load(str(logdir)).trained_size is None  # as in folders of older versions
    path = logdir / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trained_size": recorded}))
    if expected:
        assert trained.load(str(logdir)).trained_size == expected
    else:
        with pytest.raises(deeplab.UserError, match=r"config.json: not a configuration"):
            trained.load(str(logdir))


def test_newest_best_named(logdir):
    values = bundle.read(str(logdir / "model.ckpt-7"))
    bundle.write(str(logdir / "model.ckpt-9"), {**values, "global_step": np.int64(9)})
    bundle.write(str(logdir / "best" / "model.ckpt-8"), {**values, "global_step": np.int64(8)})
    steps = {name: trained.load(str(logdir), name).step for name in ("newest", "best", "model.ckpt-7")}
    assert steps == {"newest": 9, "best": 8, "model.ckpt-7": 7}
    assert trained.load(str(logdir / "model.ckpt-7")).step == 7
    with pytest.raises(deeplab.UserError, match=r"checkpoint=best: has no effect, because .*model\.ckpt-7 is one"):
        trained.load(str(logdir / "model.ckpt-7"), "best")


def test_every_name_of_the_best_checkpoint_means_the_same(logdir, monkeypatch):
    monkeypatch.chdir(logdir)
    bundle.write("best/model.ckpt-8", {"global_step": np.int64(8)})
    best, home = str(logdir / "best" / "model.ckpt-8"), str(logdir)
    named = [
        (home, "best"),
        (home, "best/model.ckpt-8"),
        (home, best),
        (f"{home}/", "best"),
        (f"{home}/best", "newest"),
        (f"{home}/best/", "best"),
        (f"{home}/best", "model.ckpt-8"),
        (best, "newest"),
    ]
    assert {trained.find(*arguments) for arguments in named} == {(home, best)}
    assert trained.find("best") == (".", "best/model.ckpt-8")
    assert trained.find("model.ckpt-7") == (".", "model.ckpt-7")
    with pytest.raises(deeplab.UserError, match=r"checkpoint=best: has no effect, .*ckpt-7 is one checkpoint; leave"):
        trained.find(f"{home}/model.ckpt-7", "best")
    with pytest.raises(deeplab.UserError, match=r"it holds: model\.ckpt-7, best/model\.ckpt-8$"):
        trained.find(home, "model.ckpt-9")
    shutil.copy("config.json", "best")  # a training of its own that happens to have this name
    assert trained.find(f"{home}/best") == (f"{home}/best", best)


def test_overrides_change_the_network_and_keep_the_rest(logdir):
    config = trained.load(str(logdir), overrides={"output_stride": 8, "crop_size": (33, 33)}).config
    assert (config.output_stride, config.crop_size, config.depth_multiplier) == (8, (33, 33), 0.25)


def test_without_config_flags_and_data_set_say_what_it_is(logdir):
    (logdir / "config.json").unlink()
    (logdir / "dataset.json").unlink()
    flags = {"depth_multiplier": 0.25, "decoder_output_stride": (4,)}
    loaded = trained.load(str(logdir), "newest", flags, {"output_stride": 16}, small_training.dataset())
    assert (loaded.config.num_classes, loaded.config.output_stride) == (3, 16)


def break_config(text):
    return lambda logdir: (logdir / "config.json").write_text(text)


def other_classes(logdir):
    content = json.loads((logdir / "config.json").read_text())
    content["model"]["num_classes"] = 5
    (logdir / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("harm", "checkpoint", "message"),
    [
        (shutil.rmtree, "newest", "no such folder or checkpoint"),
        (lambda logdir: (logdir / "model.ckpt-7.index").unlink(), "newest", "holds no complete checkpoint"),
        (lambda logdir: None, "best", "best: holds no complete checkpoint"),
        (lambda logdir: None, "model.ckpt-8", "no such checkpoint in .*; it holds: model.ckpt-7"),
        (break_config("{"), "newest", "config.json: not a configuration"),
        (break_config('{"format": 99, "model": {}}'), "newest", "format 99, this version reads 1"),
        (break_config('{"format": 1, "model": {"colour": 1}}'), "newest", "unknown option 'colour'"),
        (other_classes, "newest", "5"),
    ],
)
def test_bad_input_is_one_line(logdir, harm, checkpoint, message):
    harm(logdir)
    with pytest.raises(deeplab.UserError, match=message) as error:
        trained.load(str(logdir), checkpoint)
    assert "\n" not in str(error.value)


def test_config_and_data_set_replace_whole_files(tmp_path):
    for classes in (3, 4):
        run_folder.write_config(str(tmp_path), deeplab.ModelConfig(num_classes=classes))
        catalog.save(catalog.CATALOG["camvid"], str(tmp_path))
    content = json.loads((tmp_path / "config.json").read_text())
    assert (content["format"], content["model"]["num_classes"]) == (1, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "dataset.json"]


def test_new_checkpoints_come_one_by_one_until_none_does(logdir):
    found = trained.new_checkpoints(str(logdir), interval=0, timeout=0)
    assert next(found) == "model.ckpt-7"
    bundle.write(str(logdir / "model.ckpt-9"), {"global_step": np.int64(9)})
    assert list(found) == ["model.ckpt-9"]
    assert not list(trained.new_checkpoints(str(logdir / "later"), interval=0, timeout=0))


@pytest.mark.slow
def test_moving_averages_of_an_own_training_are_taken(logdir):
    values = bundle.read(str(logdir / "model.ckpt-7"))
    bias = "logits/semantic/biases"
    values[f"{bias}/ExponentialMovingAverage"] = values[bias] + 1
    bundle.write(str(logdir / "model.ckpt-8"), {**values, "global_step": np.int64(8)})

    def loaded(directory=str(logdir), **options):
        model = trained.load(directory, **options).model
        return next(v.numpy() for v in model.variables if reference_name(v) == bias)

    np.testing.assert_array_equal(loaded(), values[bias] + 1)
    best = str(logdir / "best" / "model.ckpt-9")
    bundle.write(best, {**values, f"{bias}/ExponentialMovingAverage": values[bias] + 2})
    np.testing.assert_array_equal(loaded(best), values[bias] + 2)
    np.testing.assert_array_equal(loaded(use_moving_averages=False), values[bias])
    (logdir / "config.json").unlink()  # a checkpoint of the reference: its programs take the weights themselves
    flags = {"depth_multiplier": 0.25, "decoder_output_stride": (4,), "output_stride": 16}
    np.testing.assert_array_equal(loaded(overrides=flags), values[bias])
