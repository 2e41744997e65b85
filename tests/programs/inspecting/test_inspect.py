"""`deeplab inspect`: names every kind of file and folder, and tells what is recorded about it."""

import dataclasses
import re
import shutil
import sys
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from deeplab import cli
from deeplab.checkpoints import bundle
from deeplab.config.model import MODEL_VARIANTS, ModelConfig
from deeplab.errors import UserError
from deeplab.model.names import reference_name
from deeplab.model.network import build_model
from deeplab.programs.inspecting import command, kinds, variables
from helpers import fake_data, small_export, small_training

pytestmark = pytest.mark.usefixtures("shortest_mobilenet", "quick_tracing")
FLAGS = "--depth_multiplier=0.25 --decoder_output_stride=4"


def told(path):
    return kinds.describe(str(path)).splitlines()


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """The checkpoint of a training, without what is recorded beside it."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001"):
        shutil.copy(f"{small_training.logdir()}/{name}", folder)
    return folder / "model.ckpt-7"


def test_training():
    folder = small_training.logdir()
    lines = told(folder)
    assert lines[0] == f"{folder}: train_logdir of a training"
    assert f"network: {FLAGS}" in lines
    assert "classes: 3 (kind 0, kind 1, kind 2)" in lines
    assert "checkpoints: steps 7" in lines
    of_one = told(f"{folder}/model.ckpt-7")
    assert of_one[0] == f"{folder}/model.ckpt-7: checkpoint of step 7 of a training"
    assert of_one[1:] == lines[1:]


def test_keras_file(tmp_path):
    path = tmp_path / "network.keras"
    build_model(ModelConfig(num_classes=3, depth_multiplier=0.25, decoder_output_stride=(4,), output_stride=16)).save(
        path
    )
    lines = told(path)
    assert lines[:3] == [f"{path}: Keras file", f"network: {FLAGS}", "classes: 3"]
    assert re.search(r"^size: [\d.]+ [kM]B$", lines[3])
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"network\.keras: "):
        told(path)


@pytest.mark.parametrize("end", ["", ".index", ".data-00000-of-00001"])
def test_checkpoint(prefix, end):
    lines = told(f"{prefix}{end}")
    assert lines[0] == f"{prefix}: checkpoint"
    assert "network, by the names of its variables: --model_variant=mobilenet_v2 --depth_multiplier=0.25" in lines
    assert {"heads: image pooling, decoder", "classes: 3", "step: 7"} <= set(lines)
    assert re.search(r"^size: [\d.]+ [kM]B$", lines[-1])


def test_folder_and_archive_of_a_checkpoint(prefix, tmp_path):
    with tarfile.open(tmp_path / "published.tar.gz", "w:gz") as file:
        file.add(prefix.parent, "published")
    of_folder, of_archive = told(prefix.parent), told(tmp_path / "published.tar.gz")
    assert of_folder[0] == f"{prefix}: checkpoint"
    assert of_archive[0] == f"{tmp_path / 'published.tar.gz'}: checkpoint in an archive"
    assert of_archive[1:-1] == of_folder[1:-1]


@pytest.mark.slow
def test_export(tmp_path):
    folder = small_export.run(tmp_path)
    lines = told(folder)
    assert lines[0] == f"{folder}: export of this project, SavedModel"
    assert f"network: {FLAGS}" in lines
    assert "classes: 3 (kind 0, kind 1, kind 2)" in lines
    assert any(line.endswith("step 7") for line in lines)
    assert told(tmp_path) == told(folder / "saved_model.pb") == lines
    shutil.copytree(folder, tmp_path / "2")
    assert told(tmp_path)[1:] == [*lines[1:], "older versions: 1"]
    (tmp_path / "2" / "dataset.json").unlink()
    assert "not whole: dataset.json is missing" in told(tmp_path)


@pytest.mark.slow
def test_export_in_another_format(tmp_path):
    folder = small_export.run(tmp_path, format="frozen_graph")
    assert told(folder)[0] == f"{folder}: export of this project, frozen graph"
    (tmp_path / "alone.pb").write_bytes(next(folder.glob("*.pb")).read_bytes())
    with pytest.raises(UserError, match="no constant bears a variable's name"):  # its weights are folded
        told(tmp_path / "alone.pb")


def test_saved_model_of_another_program(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="points")])
        def double(self, points):
            return {"doubled": 2 * points}

    module = Module()
    tf.saved_model.save(module, str(tmp_path / "5"), signatures={"serving_default": module.double})
    lines = told(tmp_path / "5")
    assert lines[0] == f"{tmp_path / '5'}: SavedModel of another program (no model.json)"
    assert "signature serving_default: points -> doubled" in lines
    assert told(tmp_path) == lines
    (tmp_path / "5" / "saved_model.pb").write_bytes(b"\xff" * 50)
    with pytest.raises(UserError, match="not a SavedModel"):
        told(tmp_path)


def test_data_set(tmp_path):
    folder = fake_data.shards(tmp_path, {"train": 2, "val": 1}, num_classes=3)
    lines = told(folder)
    assert lines[0] == f"{folder}: data set of TFRecord shards"
    assert any(line.startswith("classes: 3") for line in lines)
    assert [line.split(",")[0] for line in lines if line.startswith("split")] == [
        "split train: 2 images", "split val: 1 images",
    ]  # fmt: skip
    (tmp_path / "shards" / "dataset.json").unlink()
    assert "no dataset.json: programs have to be told its name by --dataset" in told(folder)


def test_checkpoint_of_another_program(tmp_path):
    bundle.write(str(tmp_path / "model.ckpt-1"), {"dense/kernel": np.zeros((2, 2), np.float32)})
    assert "network: unknown, since no variable bears the name of a backbone" in told(tmp_path)
    assert "variables: 1 (dense/kernel)" in told(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "no such file, folder or checkpoint"),
        ("photo.jpg", b"\xff\xd8", "no kind of file that this project writes or reads weights from"),
        ("empty", (), "holds neither a training"),
        ("cut.pb", b"\x0a\xff", "cut.pb"),
        ("cut.tflite", b"x", "cut.tflite"),
        ("cut.tar.gz", b"\x1f\x8b", "damaged archive"),
        ("cut.h5", b"x", "cut.h5"),
        ("cut.index", b"x", "cut"),
    ],
)
def test_anything_else_is_one_line(name, content, message, tmp_path):
    if content == ():
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        told(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="path='': expected a file or folder"):
        command.InspectConfig()


@dataclasses.dataclass
class File:
    values: dict


@pytest.mark.parametrize("variant", ["mobilenet_v2", "mobilenet_v3_small_seg"])
def test_network_is_told_by_its_variables(variant):
    config = ModelConfig(model_variant=variant, output_stride=16, num_classes=4)
    model = build_model(config, (65, 65, 3))
    values = {reference_name(variable): np.asarray(variable) for variable in model.variables}
    slots = {f"{name}/Momentum": value for name, value in values.items()}
    lines = variables.describe(File({**values, **slots}))
    assert lines[0].endswith(f"--model_variant={variant}")
    assert "classes: 4" in lines
    trained = sum(variable.value.shape.num_elements() for variable in model.trainable_variables)
    assert lines[-1].endswith(f" with {trained:,} parameters")


@pytest.mark.parametrize(
    ("names", "variant"),
    [
        (["xception_71/entry_flow/conv1_1/weights"], "xception_71"),
        (["resnet_v1_50/conv1/weights"], "resnet_v1_50"),
        (["resnet_v1_50/conv1_1/weights"], "resnet_v1_50_beta"),
        (["MobilenetV3/expanded_conv_11/expand/weights"], "mobilenet_v3_large_seg"),
        (["MobilenetEdgeTPU/Conv/weights"], "mobilenet_edgetpu"),
        (["pnasnet/conv0/weights"], "nas_pnasnet"),
    ],
)
def test_backbones_are_known_by_a_name(names, variant):
    lines = variables.describe(File({name: np.zeros((1, 1), np.float32) for name in names}))
    assert lines[0].endswith(f"--model_variant={variant}")
    assert "classes: none, these are weights of a backbone" in lines
    assert variant in MODEL_VARIANTS


def test_flags_are_those_that_differ():
    config = ModelConfig(
        output_stride=16, atrous_rates=(6, 12), decoder_output_stride=(4,), num_classes=4, crop_size=(65, 65),
        aspp_with_batch_norm=False,
    )  # fmt: skip
    flags = variables.as_flags(config, ModelConfig(output_stride=16))
    assert flags == ["--atrous_rates=6,12", "--noaspp_with_batch_norm", "--decoder_output_stride=4"]
    assert variables.as_flags(ModelConfig(), ModelConfig(atrous_rates=(6,))) == ["--atrous_rates="]


@pytest.mark.parametrize("words", [["README.md"], ["--path=README.md"], ["--path", "README.md"]])
def test_the_flag_may_be_left_out(words, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "main", lambda run, config_class: seen.append(sys.argv))
    monkeypatch.setattr(sys, "argv", ["deeplab inspect", *words])
    command.main()
    assert cli.read(command.InspectConfig, seen[0], flags.FlagValues()).path == "README.md"
