"""Weights by name in the programs: the table, one command that predicts, trainings that begin from them."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab import cli
from deeplab.checkpoints.published import cache
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig, VisConfig
from deeplab.config.published import files
from deeplab.config.training import TrainConfig
from deeplab.data import catalog, source
from deeplab.evaluation import candidates
from deeplab.inference import trained
from deeplab.model import backbones
from deeplab.model.names import reference_name
from deeplab.programs import initial_weights, models, train_logdir
from helpers import fake_data, published_archives, short_networks
from helpers.file_server import serving
from helpers.published_archives import ARCHIVE, PRESET
from helpers.readme_commands import run_program

pytestmark = pytest.mark.usefixtures("shortest_mobilenet", "quick_tracing")
VOC = catalog.CATALOG["pascal_voc_seg"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache, which does not exist yet; nobody serves files."""
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://127.0.0.1:9")
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    with serving({ARCHIVE: published_archives.of_preset()}) as (address, behaviour):
        monkeypatch.setenv("DEEPLAB_MODELS_URL", address)
        yield behaviour


@pytest.fixture
def photo(tmp_path):
    return fake_data.save(fake_data.image(40, 56), tmp_path / "photo.jpg")


def test_the_table_names_every_model_and_what_is_there(folder):
    published_archives.put(folder)
    lines = {line.split()[0]: line for line in models.table().splitlines() if line}
    assert {*deeplab.MODELS, *(file.name for file in files.FILES.values())} <= lines.keys()
    for name, model in deeplab.MODELS.items():
        shown = [model.dataset, str(model.config.num_classes), f"{model.miou:.2f}", model.archive]
        shown += [] if model.multiply_adds is None else [f"{model.multiply_adds:g}"]
        assert set(shown) <= set(lines[name].split()), name
        assert lines[name].endswith(" yes") == (name == PRESET)
    assert str(folder) in models.table()


def test_a_download_tells_licence_and_training_data(server, folder):
    for _ in range(2):  # the second one finds the file, and tells it again
        told = run_program("models", f"--download={PRESET}")
        assert f"{PRESET}: Apache License 2.0" in told
        assert "trained on ImageNet, MS-COCO, VOC 2012 train_aug" in told
        assert f"{folder / ARCHIVE} is in the cache" in told
    assert len(server.requests) == 1


def test_a_name_that_does_not_exist_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        _main("--download=xception_65_imagnet")
    assert ended.value.code == 2
    assert "did you mean xception_65_imagenet" in capsys.readouterr().err


def _main(*words):
    import deeplab.models as door

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.flags, "FLAGS", cli.flags.FlagValues())
        patch.setattr("sys.argv", ["models", *words])
        door.main()


def test_a_preset_is_the_whole_command(server, tmp_path, photo):
    for number, size in enumerate((1, 1)):
        told = run_program("predict", f"--preset={PRESET}", f"--input={photo}", f"--output={tmp_path / str(number)}")
        assert ("Downloading" in told) == (number == 0)
        labels = np.asarray(Image.open(tmp_path / str(number) / "photo.png"))
        assert labels.shape == (40, 56)
        assert len(server.requests) == size


def test_every_way_to_name_them_gives_the_same(server, folder, tmp_path):
    server.files["own/net.tar.gz"] = server.files[ARCHIVE]
    address = os.environ["DEEPLAB_MODELS_URL"]
    defaults = {"depth_multiplier": 0.5, "output_stride": 16}
    image = fake_data.image(33, 33)[None]
    expected = deeplab.load(f"preset:{PRESET}")
    assert expected.config == deeplab.MODELS[PRESET].config
    assert expected.dataset.class_names == VOC.class_names
    assert (expected.folder, expected.trained_size) == (PRESET, (513, 513))
    assert expected.weights_from["licence"].startswith("Apache License 2.0")
    other = trained.load(f"{address}/own/net.tar.gz", defaults=defaults)
    model = deeplab.build_model(deeplab.MODELS[PRESET].config)
    report = deeplab.restore(model, f"preset:{PRESET}")
    assert not report.missing
    for network in (other.model, model):
        np.testing.assert_array_equal(network(image), expected.model(image))
    assert (other.folder, other.weights_from["licence"]) == ("net", None)


def test_comparisons_take_them(server):
    server.files["own/net.tar.gz"] = server.files[ARCHIVE]
    for path in (f"preset:{PRESET}", f"{os.environ['DEEPLAB_MODELS_URL']}/own/net.tar.gz"):
        assert candidates._taken(path) == {"use_moving_averages", "distribution_strategy", "preset"}


def test_an_archive_of_another_model_is_refused(server, photo, tmp_path):
    values = published_archives.variables(deeplab.ModelConfig(depth_multiplier=0.25, output_stride=16))
    server.files[ARCHIVE] = published_archives.archive(values)
    with pytest.raises(deeplab.UserError, match=f"has shape .*{PRESET}.*the archive holds another model than that"):
        deeplab.load(f"preset:{PRESET}")


@pytest.mark.slow
def test_eval_and_export_of_a_preset(folder, tmp_path, monkeypatch):
    published_archives.put(folder)
    shards = fake_data.shards(tmp_path / "data", {"val": 2}, 21)
    monkeypatch.chdir(tmp_path)
    flags = (f"--preset={PRESET}", f"--dataset_dir={shards}", "--dataset=fake")
    run_program("eval", *flags)
    assert (tmp_path / PRESET / "eval_val" / "results.json").exists()  # not in the cache
    assert sorted(os.listdir(folder)) == [ARCHIVE, f"{ARCHIVE}.json"]
    run_program("export", f"--checkpoint_dir=preset:{PRESET}", "--export_path=export", "--noverify")
    card = json.loads((tmp_path / "export" / "1" / "model.json").read_text())
    assert card["classes"] == list(VOC.class_names)
    assert card["weights_from"] == cache.origin(f"preset:{PRESET}")
    assert card["weights_from"]["trained_on"] == "ImageNet, MS-COCO, VOC 2012 train_aug"


OF_PROGRAM = {
    EvalConfig: {"dataset_dir": "shards"},
    VisConfig: {"dataset_dir": "shards"},
    PredictConfig: {"input": "in", "output": "out"},
    ExportConfig: {"export_path": "out"},
}


@pytest.mark.parametrize("program", OF_PROGRAM, ids=lambda program: program.__name__)
def test_weights_are_those_that_are_named_or_the_presets(program):
    given = OF_PROGRAM[program]
    for options, weights, name in (
        ({"preset": PRESET}, f"preset:{PRESET}", PRESET),
        ({"checkpoint_dir": f"preset:{PRESET}"}, f"preset:{PRESET}", PRESET),
        ({"checkpoint_dir": "run", "preset": PRESET}, "run", PRESET),
        ({"checkpoint_dir": "run"}, "run", None),
    ):
        config = program(**given, **options)
        assert (config.weights, config.preset_name) == (weights, name)
        assert config.dataset_name == (name and "pascal_voc_seg")
    with pytest.raises(deeplab.UserError, match=r"--checkpoint_dir=\.\.\., (or )?--preset"):
        program(**given)
    with pytest.raises(deeplab.UserError, match=f"expected {PRESET}, or no value"):
        program(**given, checkpoint_dir=f"preset:{PRESET}", preset="xception65_ade20k_train")


@pytest.mark.slow
def test_a_training_begins_from_a_preset_and_remembers_it(folder, tmp_path, capsys):
    published_archives.put(folder)
    shards, logdir = fake_data.shards(tmp_path / "data", {"train": 2}, 3), str(tmp_path / "run")
    told = run_program(
        "train", f"--dataset_dir={shards}", f"--train_logdir={logdir}", f"--tf_initial_checkpoint=preset:{PRESET}",
        "--depth_multiplier=0.5", "--train_crop_size=33,33", "--train_batch_size=2", "--training_number_of_steps=1",
        "--nosave_summaries_images",
    )  # fmt: skip
    assert "21 classes in the file, 3 in the model" in told
    origin = cache.origin(f"preset:{PRESET}")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["weights_from"] == origin
    # What begins from that training began from them, too, and a training that is resumed keeps what it recorded.
    config = TrainConfig(
        train_logdir=str(tmp_path / "second"), dataset_dir=shards, tf_initial_checkpoint=logdir,
        train_crop_size=(33, 33), model={"depth_multiplier": 0.5},
    )  # fmt: skip
    model_config = config.model_config(3)
    split = source.open_splits(shards, ("train",), None, config.input)
    for recorded, start, expected in ((None, 0, origin), ({"weights_from": {**origin, "name": "x"}}, 5, None)):
        train_logdir.describe(config, model_config, split, recorded, start)
        assert trained.weights_from(config.train_logdir) == (expected or recorded["weights_from"])
    # The values with which only that training goes on are no weights that were lost.
    capsys.readouterr()
    initial_weights.load(config, model_config, deeplab.build_model(model_config, (33, 33, 3)), split.dataset)
    told = capsys.readouterr().out
    assert "needed only to go on with the training that wrote the file: the training step (1), state of the opt" in told
    assert "skipped, " not in told
    assert "  MobilenetV2" in told
    assert {line.split()[3] for line in told.splitlines() if line.startswith("  M")} == {"0"}


def test_without_weights_a_training_ends_with_one_line(folder, tmp_path):
    fake_data.shards(tmp_path / "data", {"train": 2}, 3)
    config = TrainConfig(
        train_logdir=str(tmp_path / "run"),
        dataset_dir=str(tmp_path / "data" / "shards"),
        tf_initial_checkpoint=f"preset:{PRESET}",
        initialize_last_layer=False,
    )
    with pytest.raises(deeplab.UserError) as error:
        initial_weights.load(config, None, None, None)
    said = str(error.value)
    assert f"http://127.0.0.1:9/{ARCHIVE}" in said
    assert str(folder / ARCHIVE) in said
    assert said.endswith("To train from scratch: --tf_initial_checkpoint= --initialize_last_layer")
    assert "\n" not in said


def test_classes_of_a_preset_are_known(folder, tmp_path):
    published_archives.put(folder)
    names = ("sky", *VOC.class_names[1:])
    other = catalog.Dataset("own", 21, class_names=names)
    config = TrainConfig(train_logdir="run", dataset_dir="shards", tf_initial_checkpoint=f"preset:{PRESET}")
    with pytest.raises(deeplab.UserError, match="With --map_classes_by_name, 20 classes"):
        initial_weights.load(config, deeplab.MODELS[PRESET].config, None, other)


@pytest.mark.slow
def test_backbones_by_name(server, capsys, monkeypatch):
    """The weights of MS-COCO have plain convolutions in ASPP and decoder; what fits is taken, but for the logits."""
    config = deeplab.ModelConfig("xception_65", output_stride=16, decoder_output_stride=(4,), aspp_convs_filters=8)
    short = short_networks.shortened(backbones.BACKBONES["xception_65"])
    monkeypatch.setitem(backbones.BACKBONES, "xception_65", short)
    network = deeplab.build_model(config, (65, 65, 3))
    before = {reference_name(variable): variable.numpy() for variable in network.variables}
    shared = {name: value.shape for name, value in before.items() if not re.match(r"aspp[123]_|decoder/decoder_", name)}
    plain = {"aspp1/weights": (3, 3, 2048, 256), "concat_projection/weights": (1, 1, 1280, 256)}
    values = {name: np.full(shape, 0.5, np.float32) for name, shape in {**shared, **plain}.items()}
    coco = published_archives.archive(values, "x65-b2u1s2p-d48-2-3x256-sc-cr300k_init.ckpt")
    server.files["xception_65_coco_pretrained_2018_10_02.tar.gz"] = coco
    options = {"train_logdir": "run", "dataset_dir": "shards", "backbone_weights": "imagenet_coco"}
    initial_weights.load(TrainConfig(**options), config, network, VOC)
    told = capsys.readouterr().out
    assert "trained on ImageNet, MS-COCO" in told
    after = {reference_name(variable): variable.numpy() for variable in network.variables}
    for name in ("xception_65/entry_flow/conv1_1/weights", "aspp0/weights", "decoder/feature_projection0/weights"):
        np.testing.assert_array_equal(after[name], values[name])
    for name in ("logits/semantic/weights", "concat_projection/weights", "aspp1_depthwise/depthwise_weights"):
        np.testing.assert_array_equal(after[name], before[name])
    assert "skipped, the model has no such variable: aspp1/weights\n" in told
    assert "skipped, another shape in the model: concat_projection/weights\n" in told
    assert "left at their initial values: aspp1_depthwise/" in told
    assert initial_weights.origin(TrainConfig(**options), config)["name"] == "xception_65_imagenet_coco"
    with pytest.raises(deeplab.UserError, match=r"xception_65_imagenet .*xception_2018_01_04\.tar\.gz.* 404"):
        initial_weights.load(TrainConfig(**{**options, "backbone_weights": "imagenet"}), config, network, VOC)
    with pytest.raises(deeplab.UserError, match="'imagnet': no such file; did you mean imagenet"):
        initial_weights.load(TrainConfig(**{**options, "backbone_weights": "imagnet"}), config, network, VOC)
    mobilenet = TrainConfig(**{**options, "backbone_weights": "imagenet"})
    assert initial_weights.origin(mobilenet, deeplab.ModelConfig())["licence"].startswith(
        "Apache License 2.0, as Keras"
    )
    other = deeplab.ModelConfig(model_variant="resnet_v1_18")
    with pytest.raises(deeplab.UserError, match="none were published for it, only for others"):
        initial_weights.load(TrainConfig(**options), other, network, VOC)
