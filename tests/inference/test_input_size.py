"""The size at which networks see photographs: the rule, its graph, and the same labels from predict and exports."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab import cli
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig, TilesConfig
from deeplab.config.serve import ServeConfig
from deeplab.eval import evaluate
from deeplab.exporting.formats import FORMATS
from deeplab.inference import export_folder, exports, input_size, trained
from deeplab.inference.input_size import InputSize
from deeplab.inference.predictor import Predictor
from deeplab.predict import predict
from deeplab.serving.computing.model import ServedModel
from helpers import fake_data, small_export, small_training

pytestmark = pytest.mark.usefixtures("shortest_mobilenet")

TRAINED = (48, 64)
SIDES = [1, 2, 3, 17, 47, 48, 64, 65, 96, 97, 130, 999, 4000, 30_000]


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    """Returns a train_logdir that records images up to 48x64."""
    folder = shutil.copytree(small_training.logdir(), tmp_path_factory.mktemp("trained") / "logdir")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "trained_size": TRAINED}))
    return str(folder)


@pytest.fixture(scope="module")
def export(logdir, tmp_path_factory):
    """Returns the `Export` of that training with the rule `auto`."""
    return exports.load(str(small_export.run(tmp_path_factory.mktemp("export"), checkpoint_dir=logdir)))


@pytest.mark.parametrize(
    ("value", "trained_size", "expected"),  # expected: {size of an image: size at which it is seen}
    [
        ("auto", (48, 64), {(48, 64): None, (96, 96): None, (20, 96): None, (97, 97): (64, 64), (600, 800): (48, 64)}),
        ("auto", (64, 48), {(300, 400): (48, 64), (4000, 10): (64, 1)}),
        ("auto", None, {(6000, 8000): None}),
        ("original", (48, 64), {(6000, 8000): None}),
        ("trained", (48, 64), {(48, 64): None, (64, 64): None, (24, 32): (48, 64), (96, 48): (64, 32)}),
        ("40,80", None, {(40, 80): None, (80, 160): (40, 80), (100, 100): (40, 40), (10, 40): (20, 80)}),
    ],
)
def test_the_rule(value, trained_size, expected):
    rule = input_size.resolve(value, trained_size)
    for size, seen in expected.items():
        assert rule.resizes(*size) == (seen is not None), size
        assert seen is None or rule.fitted(*size) == seen
    assert input_size.of_card(json.loads(json.dumps({"input_size": rule.card()}))) == rule
    assert rule.is_unknown == ("not recorded" in str(rule)) == (value == "auto" and trained_size is None)


def test_graph_and_python_follow_one_rule():
    rules = [input_size.resolve(value, (333, 500)) for value in ("auto", "trained", "301,77")]

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.int64)])
    def in_graph(size):
        return [(rule.fitted(size[0], size[1]), rule.resizes(size[0], size[1])) for rule in rules]

    for height in SIDES:
        for width in SIDES:
            for rule, (fitted, resizes) in zip(rules, in_graph([height, width]), strict=True):
                assert tuple(int(side) for side in fitted) == rule.fitted(height, width)
                assert bool(resizes) == rule.resizes(height, width)
                assert all(1 <= new <= most for new, most in zip(fitted, rule.fit_into, strict=True))


@pytest.mark.parametrize("value", ["", "auto,auto", "0,10", "-3,4", "10", "1,2,3", "half", "1.5,2"])
def test_other_values_are_refused(value):
    with pytest.raises(deeplab.UserError, match=r"input_size=.*expected auto, trained, original, or two"):
        PredictConfig(checkpoint_dir="a", input="b", output="c", input_size=value)


def test_what_does_not_go_together_is_refused(logdir):
    common = {"input": "in", "output": "out"}
    tiles = TilesConfig((33, 33), 16)
    for value in ("trained", "60,80"):
        with pytest.raises(deeplab.UserError, match=r"expected auto or original with --tile_size"):
            PredictConfig(checkpoint_dir="a", tiles=tiles, input_size=value, **common)
        with pytest.raises(deeplab.UserError, match=r"an export brings its own"):
            PredictConfig(saved_model="a", input_size=value, **common)
        flags = ["export", "--checkpoint_dir=a", "--export_path=b", "--min_resize_value=33", f"--input_size={value}"]
        with pytest.raises(deeplab.UserError, match=r"expected auto or original with --min_resize_value"):
            cli.read(ExportConfig, flags)
    with pytest.raises(deeplab.UserError, match=r"for another one: python -m deeplab.export --input_size"):
        cli.read(ServeConfig, ["serve", "--saved_model=a", "--input_size=trained"])
    with pytest.raises(deeplab.UserError, match=r"--input_size=trained: the checkpoint does not tell.*HEIGHT"):
        input_size.resolve("trained", None)


def test_an_image_that_is_not_resized_gets_the_same_labels_bit_by_bit(logdir):
    predictor = Predictor(trained.load(logdir).model)
    auto = input_size.resolve("auto", trained.load(logdir).trained_size)
    one = [tf.TensorSpec((1, None, None, 3), tf.uint8)]
    both = [
        tf.function(lambda x, rule=rule: input_size.segment(predictor, x, rule), one) for rule in (auto, InputSize())
    ]
    for size in ((48, 64), (96, 70), (5, 96)):
        for found, expected in zip(*(function(fake_data.image(*size)[None]) for function in both), strict=True):
            np.testing.assert_array_equal(found, expected)


def photo(size=(192, 256)):
    """Returns a scene of 48x64 pixels, and a photograph of it with this size."""
    scene = Image.fromarray(fake_data.image(48, 64, seed=3))
    return np.asarray(scene), np.asarray(scene.resize(size[::-1], Image.BICUBIC))


def finds_stripes(images):
    """Stands in for a network that was trained on scenes: class 1 is a texture of stripes that are two pixels wide."""
    difference = tf.abs(images[:, :, 3:] - images[:, :, 1:-2])[..., :1]  # of pixels that are two columns apart
    difference = tf.pad(difference, [[0, 0], [0, 0], [1, 2], [0, 0]], "SYMMETRIC")
    share = tf.nn.avg_pool2d(difference / 255, 9, 1, "SAME")
    probabilities = tf.concat([1 - share, share], axis=-1)
    return tf.argmax(probabilities, -1, output_type=tf.int32), probabilities


@pytest.mark.parametrize("known_size", [False, True])
@pytest.mark.parametrize("factor", [4, 6])
def test_a_photograph_of_a_scene_gets_the_labels_of_the_scene(factor, known_size):
    scene = np.full((48, 64, 3), 128, np.uint8)
    scene[12:36, 20:50] = (np.arange(30) // 2 % 2 * 255)[None, :, None]
    large = scene.repeat(factor, axis=0).repeat(factor, axis=1)
    rule = input_size.resolve("auto", TRAINED)
    signature = [tf.TensorSpec((1, *(large.shape[:2] if known_size else (None, None)), 3), tf.uint8)]
    run = tf.function(lambda images: input_size.segment(finds_stripes, images, rule), signature)
    expected = finds_stripes(tf.constant(scene[None], tf.float32))[0][0].numpy()
    found, probabilities = run(large[None])
    assert probabilities.shape == (1, *large.shape[:2], 2)
    as_it_is = finds_stripes(tf.constant(large[None], tf.float32))[0]
    upsampled = expected.repeat(factor, axis=0).repeat(factor, axis=1)
    share = [np.mean(labels[0] == upsampled) for labels in (found, as_it_is)]
    assert share[0] > 0.94
    assert share[1] < 0.8


def test_predict_and_all_signatures_and_the_server_give_the_same_labels(logdir, export, tmp_path, capsys):
    _scene, large = photo()
    path = fake_data.save(large, tmp_path / "in" / "photo.png")
    config = PredictConfig(
        checkpoint_dir=logdir, input=path, output=str(tmp_path / "out"), save_probabilities=True, overwrite=True
    )
    assert predict(config) == 0
    said = capsys.readouterr().err
    assert "192x256 pixels (height x width), seen at 48x64; the training saw up to 48x64 (--input_size=auto)" in said
    with Image.open(tmp_path / "out" / "photo.png") as image:
        labels = np.asarray(image)
    np.testing.assert_array_equal(labels, export.segment(large))
    reference, probabilities = export.segment_with_probabilities(large)
    np.testing.assert_array_equal(labels, reference)
    with np.load(tmp_path / "out" / "photo.npz") as stored:
        np.testing.assert_allclose(stored["probabilities"], probabilities, atol=2e-3)
    encoded = tf.io.encode_png(large).numpy()
    (png,) = export.run("bytes", {"image_bytes": np.array([encoded], object)})["label_bytes"]
    np.testing.assert_array_equal(labels, tf.io.decode_png(png)[..., 0])
    served = ServedModel(export.path, 1)
    batch = served.run("serving_default", {"images": np.stack([large, large])})["labels"]
    np.testing.assert_array_equal(labels, batch[1])
    assert served.input_size == InputSize("auto", TRAINED, (64, 64), 96)
    assert predict(dataclasses.replace(config, checkpoint_dir=None, saved_model=export.path)) == 0
    assert "seen at 48x64" in capsys.readouterr().err


def test_original_and_tiles_keep_the_size_and_unknown_sizes_are_said(logdir, tmp_path, capsys):
    _scene, large = photo((97, 129))
    path = fake_data.save(large, tmp_path / "in" / "photo.png")
    expected = Predictor(trained.load(logdir).model)(tf.constant(large[None]))[0][0]
    cases = (
        ({"checkpoint_dir": logdir, "input_size": "original"}, None, 1),
        ({"checkpoint_dir": small_training.logdir()}, "not recorded, so images of all sizes are seen as they are", 1),
        ({"checkpoint_dir": logdir, "tiles": TilesConfig((65, 65), 32)}, "seen as it is, because of --tile_size", 0.8),
    )
    for number, (options, line, least) in enumerate(cases):
        output = tmp_path / f"out{number}"
        assert predict(PredictConfig(input=path, output=str(output), **options)) == 0
        said = capsys.readouterr().err
        assert (line in said) if line else ("note: " not in said)
        with Image.open(output / "photo.png") as image:
            assert np.mean(np.asarray(image) == expected) >= least
        assert "input_size" not in json.loads((output / "predict.json").read_text())["settings"]  # as older runs


@pytest.mark.slow
def test_scores_say_when_predict_would_see_the_images_otherwise(logdir, export, tmp_path, capsys):
    large = fake_data.shards(tmp_path, {"val": 1}, small_training.CLASSES, size=(97, 129))
    config = EvalConfig(checkpoint_dir=logdir, dataset_dir=large, eval_logdir=str(tmp_path / "eval"))
    evaluate(config)
    line = (
        "val has images up to 97x129, the training saw up to 48x64: predict and exports shrink those with more than 96"
    )
    assert line in capsys.readouterr().out
    evaluate(dataclasses.replace(config, checkpoint_dir=None, saved_model=export.path))
    said = capsys.readouterr().out
    assert line not in said
    assert "val of fake: 1 images, at the size of --input_size=auto" in said
    evaluate(dataclasses.replace(config, dataset_dir=small_training.shards()))
    assert "predict and exports" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["frozen_graph", "tflite", "onnx", "openvino"])
def test_every_format_holds_the_rule(kind, logdir, export, tmp_path, capsys):
    needs = {"tflite": "ai_edge_litert", "onnx": "tf2onnx", "openvino": "openvino"}
    if kind in needs:
        pytest.importorskip(needs[kind], reason=f"pip install {needs[kind]}")
    _scene, large = photo((129, 129))
    options = {} if kind == "frozen_graph" else {"crop_size": (129, 129)}
    version = small_export.run(tmp_path, checkpoint_dir=logdir, format=kind, verify=True, **options)
    assert "Images with more than 96 pixels on a side are shrunk to 64" in capsys.readouterr().out
    labels = FORMATS[kind].reader(str(version))(large[None])
    assert np.mean(labels[0] == export.segment(large)) > 0.999
    card = export_folder.read_card(str(version))["input_size"]
    assert card == {"rule": "auto", "trained_size": [48, 64], "fit_into": [64, 64], "longer_than": 96}
