"""Atrous rates too large for the crop: what train does about them, and what other programs say of older runs."""

import json
import shutil

import numpy as np
import pytest

import deeplab
from deeplab import cli
from deeplab.checkpoints import batch_norms, bundle
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig
from deeplab.config.training import TrainConfig
from deeplab.errors import UserError
from deeplab.eval import evaluate
from deeplab.export import export
from deeplab.files import locks
from deeplab.inference import trained, untrained
from deeplab.model.names import reference_name
from deeplab.predict import predict
from deeplab.programs import advice
from deeplab.programs import train as story
from deeplab.train import train
from deeplab.training import run_folder
from deeplab.training.state import Checkpoints
from helpers import fake_data, small_training

pytestmark = pytest.mark.usefixtures("shortest_mobilenet")
KERNEL = "aspp1_depthwise/depthwise_weights"
WARNING = "trained on crops of 33x33 pixels, in which kernels of atrous rate 3 only saw padding"
SMALL = (
    "--train_crop_size=33,33",
    "--train_batch_size=2",
    "--depth_multiplier=0.25",
    "--aspp_convs_filters=8",
    "--noadd_image_level_feature",
    "--training_number_of_steps=1",
)


def read(folder, *flags):
    """Returns the TrainConfig of a small training in a folder."""
    return cli.read(TrainConfig, ["train", f"--train_logdir={folder}", "--dataset_dir=unused", *SMALL, *flags])


def claim(folder, *flags):
    """Begins or resumes a training in a folder, up to its first step; returns the ModelConfig."""
    config = read(folder, *flags)
    model_config = config.model_config(small_training.CLASSES)
    try:
        small_training.begin(config, model_config, small_training.dataset())
    finally:
        locks.release(str(folder))
    return model_config


def test_auto_is_resolved_once_and_may_be_given_again(tmp_path):
    claim(tmp_path, "--atrous_rates=auto")
    assert json.loads((tmp_path / "config.json").read_text())["model"]["atrous_rates"] == [1, 2]
    assert claim(tmp_path, "--atrous_rates=auto") == claim(tmp_path, "--atrous_rates=1,2")
    with pytest.raises(UserError, match=r"atrous_rates was \[1, 2\], now \[6\]"):
        claim(tmp_path, "--atrous_rates=6")


def test_train_says_what_auto_chose(tmp_path, capsys):
    config = read(tmp_path, "--atrous_rates=auto")
    network, _step = story.build(config, config.model_config(small_training.CLASSES), small_training.dataset())
    advice.tell_rates(config, network)
    said = capsys.readouterr()
    assert said.out == "atrous_rates=auto: 1,2 for train_crop_size=33,33, 3x3 cells at output_stride=16\n"
    assert not said.err


@pytest.mark.slow
def test_taps_that_no_crop_reaches_are_0_and_stay_0(tmp_path, capsys):
    shards = fake_data.shards(tmp_path / "data", {"train": 3})
    train(read(tmp_path, "--atrous_rates=3", f"--dataset_dir={shards}"))
    expected = (
        "warning: atrous rates of 3 do not fit train_crop_size=33,33, 3x3 cells at output_stride=16: "
        "such kernels see little but padding, and the network is worse on larger images; "
        "give a larger crop, or --atrous_rates=auto (1,2)\n"
    )
    assert expected in capsys.readouterr().err
    kernel = bundle.read(str(tmp_path / "model.ckpt-1"))[KERNEL]
    centre = np.arange(9).reshape(3, 3) == 4
    assert np.all(kernel[~centre] == 0)
    assert np.all(kernel[centre] != 0)


@pytest.fixture(scope="module")
def old(shortest_mobilenet, tmp_path_factory):
    """A train_logdir of a training whose taps stayed random."""
    folder = tmp_path_factory.mktemp("old")
    config = deeplab.ModelConfig(
        num_classes=small_training.CLASSES, depth_multiplier=0.25, output_stride=16, crop_size=(33, 33),
        atrous_rates=(3,), aspp_convs_filters=8,
    )  # fmt: skip
    model = deeplab.build_model(config)
    for norm in batch_norms.batch_norms(model):
        norm.update_count.assign(500)
    run_folder.write_config(str(folder), config)
    small_training.catalog.save(small_training.dataset(), str(folder))
    values = {reference_name(variable): variable.numpy() for variable in model.variables}
    bundle.write(bundle.prefix_for(str(folder), 7), {**values, "global_step": np.int64(7)})
    return folder


def evaluated(folder, tmp_path, **options):
    logdir = str(tmp_path / "eval")
    evaluate(EvalConfig(checkpoint_dir=str(folder), dataset_dir=small_training.shards(), eval_logdir=logdir, **options))


def test_eval_warns_of_them_on_larger_images_or_sets_them_to_0(old, tmp_path, capsys):
    evaluated(old, tmp_path)  # of 48x64
    assert WARNING in capsys.readouterr().err
    evaluated(old, tmp_path, zero_untrained_taps=True)
    said = capsys.readouterr()
    assert "Set to 0 the taps of atrous rate 3" in said.out
    assert "warning" not in said.err
    assert json.loads((tmp_path / "eval" / "results.json").read_text())["zero_untrained_taps"] is True


def test_export_and_predict_warn_since_images_may_have_any_size(old, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    fake_data.save(fake_data.image(33, 33), picture)
    predict(PredictConfig(checkpoint_dir=str(old), input=str(picture), output=str(tmp_path / "predicted")))
    assert WARNING in capsys.readouterr().err
    exported = {"checkpoint_dir": str(old), "verify": False, "export_path": str(tmp_path / "export")}
    export(ExportConfig(**exported))
    assert WARNING in capsys.readouterr().err
    export(ExportConfig(**exported, zero_untrained_taps=True))
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"atrous_rates": [2]}, {"crop_size": None}])
def test_nothing_to_set_to_0_is_refused(old, tmp_path, capsys, change):
    folder = shutil.copytree(old, tmp_path / "changed")
    content = json.loads((folder / "config.json").read_text())
    content["model"].update(change)
    (folder / "config.json").write_text(json.dumps(content))
    evaluated(folder, tmp_path)
    assert "warning" not in capsys.readouterr().err
    with pytest.raises(UserError, match=r"zero_untrained_taps=True: expected False: the training in .*changed"):
        evaluated(folder, tmp_path, zero_untrained_taps=True)


def test_the_flag_is_refused_beside_an_export():
    with pytest.raises(UserError, match="zero_untrained_taps=True: expected no such flag beside --saved_model"):
        PredictConfig(saved_model="unused", input="unused", output="unused", zero_untrained_taps=True)


def test_eval_warns_of_rates_that_saw_mostly_padding_on_much_larger_images(old, tmp_path, capsys):
    folder = shutil.copytree(old, tmp_path / "mostly")
    content = json.loads((folder / "config.json").read_text())
    content["model"].update(crop_size=[81, 97], atrous_rates=[5])  # 6x7 cells
    (folder / "config.json").write_text(json.dumps(content))
    loaded = trained.load(str(folder))
    untrained.treat(loaded, False, (113, 129))
    assert not capsys.readouterr().err
    untrained.treat(loaded, False, (113, 129), scales=(0.5, 1.5))
    expected = "crops of 81x97 pixels, in which kernels of atrous rate 5 saw mostly padding"
    assert expected in capsys.readouterr().err


RESTART = "--restart_batch_norm_averages"


def test_averages_of_batch_norm_can_begin_anew(old, tmp_path, capsys):
    def restored(*flags):
        initial = ("--add_image_level_feature", f"--tf_initial_checkpoint={old}")
        config = read(tmp_path, "--atrous_rates=3", *initial, *flags)
        model_config = config.model_config(small_training.CLASSES)
        network, step = story.build(config, model_config, small_training.dataset())
        checkpoints = Checkpoints(str(tmp_path), step, keep=1)
        assert story.restore(config, model_config, network, checkpoints, small_training.dataset()) == 0
        return {float(norm.update_count) for norm in batch_norms.batch_norms(network)}

    assert restored() == {500}
    assert restored(RESTART) == {0}
    assert "batch norms begin anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--tf_initial_checkpoint=unused", "--recalibrate_batch_norm"),
        ("--tf_initial_checkpoint=unused", "--nofine_tune_batch_norm"),
        ("--tf_initial_checkpoint=unused", "--nobatch_norm_warmup"),
    ],
)
def test_a_restart_without_effect_is_refused(tmp_path, flags):
    with pytest.raises(UserError, match="restart_batch_norm_averages"):
        read(tmp_path, "--atrous_rates=3", RESTART, *flags)
