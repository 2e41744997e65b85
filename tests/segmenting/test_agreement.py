"""A network gives the same labels whatever it is stored as: a training, each format of export, and predict's files."""

import numpy as np
import pytest
from PIL import Image

import deeplab
from deeplab.config.inference import PredictConfig
from deeplab.data import catalog
from deeplab.data.building import builder, label_rules
from deeplab.data.building.listing import Pair
from deeplab.predict import predict
from helpers import fake_data

SIDE = 129
RUNTIMES = {"tflite": "ai_edge_litert", "onnx": "onnxruntime", "openvino": "openvino"}
ONE_SIZE = {kind: {"crop_size": (SIDE, SIDE)} for kind in RUNTIMES}
STORED = ("train_logdir", "keras", "saved_model", "frozen_graph", *RUNTIMES)  # what `stored` knows
LEAST = 0.9999  # share of the labels

pytestmark = pytest.mark.usefixtures("short_mobilenet")


def stored(kind, run, folder):
    """Stores the network of a training in an empty folder as `kind`; returns what Segmenter.load takes."""
    if kind == "train_logdir":
        return run.train_logdir
    if kind == "keras":
        deeplab.load(run.train_logdir).model.save(folder / "network.keras")
        return folder / "network.keras"
    options = {"format": kind, "verify": False, **ONE_SIZE.get(kind, {})}
    return deeplab.export_model(checkpoint_dir=run.train_logdir, export_path=folder, **options)


def scene(seed):
    """Returns an image and its labels: a pixel belongs to the class of its brightest channel."""
    image = fake_data.image(SIDE, SIDE, seed)
    return image, image.argmax(axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory, short_mobilenet):
    """A small network that has learnt three classes."""
    folder = tmp_path_factory.mktemp("agreement")
    pairs = []
    for seed in range(4):
        names = [folder / kind / f"{seed}.png" for kind in ("images", "labels")]
        pairs.append(Pair(str(seed), *map(fake_data.save, scene(seed), names)))
    dataset = catalog.Dataset("scenes", 3, class_names=("red", "green", "blue"))
    shards = fake_data.BuildTo(str(folder / "shards"))
    builder.build({"train": pairs}, dataset, label_rules.LabelRules(3), shards)
    return deeplab.train_model(
        train_logdir=folder / "run",
        dataset_dir=folder / "shards",
        train_crop_size=(SIDE, SIDE),
        train_batch_size=2,
        training_number_of_steps=40,
        depth_multiplier=0.25,
        decoder_output_stride=(4,),
        optimizer="adam",
        adam_learning_rate=0.003,
        batch_norm_warmup=True,
        save_summaries_images=False,
    )


@pytest.fixture(scope="module")
def expected(run, tmp_path_factory):
    """The labels that predict writes for a scene, and the path of the scene."""
    folder = tmp_path_factory.mktemp("predicted")
    path = fake_data.save(scene(1)[0], folder / "in" / "scene.png")
    assert predict(PredictConfig(checkpoint_dir=run.train_logdir, input=path, output=str(folder / "out"))) == 0
    with Image.open(folder / "out" / "scene.png") as image:
        labels = np.asarray(image)
    assert set(np.unique(labels)) == {0, 1, 2}
    return path, labels, folder / "out"


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORED)
def test_it_gives_the_labels_of_predict(kind, run, expected, tmp_path):
    if kind in RUNTIMES:
        pytest.importorskip(RUNTIMES[kind], reason=f"needs the runtime of {kind}: the extra `export`")
    segmenter = deeplab.Segmenter.load(stored(kind, run, tmp_path))
    path, labels, written = expected
    result = segmenter(path)
    assert result.class_names == ("red", "green", "blue")
    assert np.mean(result.labels == labels) >= LEAST
    assert all(share > 0.01 for share in result.share.values())
    if kind in RUNTIMES:
        with pytest.raises(deeplab.UserError, match=f"this {kind} gives labels alone; for probabilities, load"):
            _ = result.probabilities
    else:
        assert result.probabilities.shape == (SIDE, SIDE, 3)
        assert np.mean(result.probabilities.argmax(axis=-1) == labels) >= LEAST
    if kind == "train_logdir":
        for name, made in (("scene.png", result.picture().convert("RGB")), ("scene_overlay.png", result.overlay())):
            with Image.open(written / name) as drawn:
                np.testing.assert_array_equal(np.asarray(made), np.asarray(drawn.convert("RGB")))
