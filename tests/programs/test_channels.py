"""Images of several bands and of more than 8 bits, from files to labels: build, train, eval, vis, export, predict."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab.checkpoints import first_layer
from deeplab.config.builders import ChannelsConfig
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig, VisConfig
from deeplab.config.optimization import ScheduleConfig
from deeplab.config.training import RunConfig, TrainConfig
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.inference import exports
from deeplab.programs import draw, evaluate, predict, train
from deeplab.programs import export as export_program
from deeplab.programs.builders import folder
from helpers import many_bands

pytest.importorskip("tifffile")
TRAINING = {
    "train_crop_size": (65, 65), "train_batch_size": 2, "model": {"output_stride": 16, "depth_multiplier": 0.25},
}  # fmt: skip


def build(root, bands, value_range, count=4):
    """Builds shards below `root` from drawn images; returns their folder."""
    source = many_bands.write(root / "drawn", count)
    shards = str(root / "shards")
    channels = ChannelsConfig(bands=tuple(bands.split(",")), value_range=tuple(value_range.split(",")))
    how = {"class_names": many_bands.CLASSES, "val_fraction": 0.25, "num_workers": 1, "channels": channels}
    folder.build_folder_data(folder.FolderConfig(folder=source, output_dir=shards, **how))
    return shards


def trained(root, shards, steps, **options):
    """Trains a small network; returns its folder and the losses of its steps."""
    logdir = str(root)
    schedule = ScheduleConfig(training_number_of_steps=steps, base_learning_rate=0.05)
    run = RunConfig(log_steps=1, save_summaries_images=steps == 2)
    config = TrainConfig(train_logdir=logdir, dataset_dir=shards, schedule=schedule, run=run, **{**TRAINING, **options})
    train.train(config)
    lines = [json.loads(line) for line in (root / "metrics.jsonl").read_text("utf-8").splitlines()]
    return logdir, [line["loss"] for line in lines]


@pytest.mark.slow
def test_five_bands_of_16_bits_train_evaluate_export_and_predict(tmp_path, shortest_mobilenet, capsys):
    rgb = build(tmp_path / "rgb", "1,2,3", "0,4095")
    rgb_logdir, _ = trained(tmp_path / "rgb" / "run", rgb, 10)
    shards = build(tmp_path / "five", "all", "0,4095")
    dataset = catalog.load(shards)
    assert (dataset.num_channels, dataset.value_range, dataset.bands) == (5, (0.0, 4095.0), (1, 2, 3, 4, 5))
    _, (random, *_rest) = trained(tmp_path / "random", shards, 1)
    logdir, losses = trained(tmp_path / "zero", shards, 2, tf_initial_checkpoint=rgb_logdir, extra_channels="zero")
    assert losses[0] < random
    assert "3 channels become 5 by --extra_channels=zero" in capsys.readouterr().out
    config = json.loads((tmp_path / "zero" / "config.json").read_text("utf-8"))
    assert config["model"]["num_channels"] == 5
    assert (config["value_range"], config["bands"]) == ([0, 4095], [1, 2, 3, 4, 5])

    scores = evaluate.score(EvalConfig(checkpoint_dir=logdir, dataset_dir=shards))
    draw.visualize(VisConfig(checkpoint_dir=logdir, dataset_dir=shards))
    assert list((tmp_path / "zero" / "vis_val" / "segmentation_results").rglob("*.png"))
    export = export_program.write_version(
        ExportConfig(checkpoint_dir=logdir, export_path=str(tmp_path / "export"), precision="float32")
    )
    of_export = evaluate.score(EvalConfig(saved_model=export, dataset_dir=shards, eval_logdir=str(tmp_path / "scores")))
    assert of_export["miou"] == pytest.approx(scores["miou"], abs=1e-3)

    picture = str(tmp_path / "five" / "drawn" / "images" / "1.tif")
    for name, network in (("checkpoint", {"checkpoint_dir": logdir}), ("export", {"saved_model": export})):
        predict.predict(PredictConfig(input=picture, output=str(tmp_path / name), **network))
    ids = [np.asarray(Image.open(tmp_path / name / "1.png")) for name in ("checkpoint", "export")]
    assert np.mean(ids[0] == ids[1]) > 0.99
    segmenter = deeplab.Segmenter.load(logdir)
    pixels, _ = many_bands.scene(1)
    result = segmenter(pixels)
    np.testing.assert_array_equal(result.labels, ids[0])
    np.testing.assert_array_equal(segmenter(picture).labels, result.labels)
    assert result.overlay().size == (81, 65)
    with pytest.raises(UserError, match=r"shape \(65, 81, 3\).*\(H, W, 5\)"):
        segmenter(pixels[..., :3])
    with pytest.raises(UserError, match="it has 3 channels, not 5; build the data set with the same"):
        evaluate.score(EvalConfig(checkpoint_dir=rgb_logdir, dataset_dir=shards))
    card = json.loads((tmp_path / "export" / "1" / "model.json").read_text("utf-8"))
    assert (card["value_range"], card["bands"]) == ([0, 4095], [1, 2, 3, 4, 5])
    assert exports.dataset_of(str(tmp_path), card).num_channels == 5  # without the dataset.json beside it
    signatures = tf.saved_model.load(export).signatures
    assert "bytes" not in signatures
    assert signatures["serving_default"].structured_input_signature[1]["images"].shape.as_list() == [
        None,
        None,
        None,
        5,
    ]


def test_extra_channels_start_as_the_flag_says(short_mobilenet):
    rgb = deeplab.build_model("mobilenet_v2", depth_multiplier=0.25, num_classes=3)
    kernel = rgb.parts.convolutions[0][0].kernel
    name = "MobilenetV2/Conv/weights"
    values = {name: np.asarray(kernel)}
    image = np.random.default_rng(0).uniform(0, 255, (1, 65, 65, 1)).astype(np.float32)
    expected = rgb(np.repeat(image, 3, axis=-1)).numpy()
    for channels in (1, 5):
        model = deeplab.build_model("mobilenet_v2", depth_multiplier=0.25, num_classes=3, num_channels=channels)
        for variable, source in zip(model.variables, rgb.variables, strict=True):
            fits = variable.shape == source.shape
            variable.assign(source if fits else first_layer.with_channels(values, model, "mean")[name])
        np.testing.assert_allclose(model(np.repeat(image, channels, axis=-1)), expected, atol=1e-4)
    zero = first_layer.with_channels(values, model, "zero")[name]
    assert not zero[:, :, 3:].any()
    np.testing.assert_array_equal(zero[:, :, :3], values[name])
    one = deeplab.build_model("mobilenet_v2", depth_multiplier=0.25, num_channels=1)
    with pytest.raises(UserError, match="extra_channels=zero: expected mean, since 3 channels become 1"):
        first_layer.with_channels(values, one, "zero")
    assert first_layer.with_channels(values, rgb, "mean") == {}


def test_the_number_of_channels_is_that_of_the_data_set():
    config = TrainConfig(train_logdir="run", dataset_dir="shards", model={"num_channels": 4})
    with pytest.raises(UserError, match="num_channels=4: expected 5, as the images of the data set have"):
        config.model_config(3, 5)
    assert TrainConfig(train_logdir="run", dataset_dir="shards").model_config(3, 5).num_channels == 5
