"""What Segmenter opens, what it takes, and what its results can do."""

import concurrent.futures
import dataclasses
import io
import itertools
import pathlib
import shutil
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

import deeplab
from deeplab import cli, devices
from deeplab.config.inference import PredictConfig
from deeplab.config.options import GpuConfig
from deeplab.data import catalog
from deeplab.inference import trained
from deeplab.segmenting import keywords, opening, places, reading, result
from deeplab.segmenting.segmenter import Segmenter, SegmenterConfig
from helpers import fake_data, small_export, small_training

pytestmark = pytest.mark.usefixtures("short_mobilenet")

IMAGE = fake_data.image(40, 56)
DATASET = catalog.Dataset("fake", 3, class_names=("sky", "road", "tree"), colors=((0, 0, 0), (9, 8, 7), (200, 0, 0)))


def stub(labels=lambda image: image[..., 0] // 100, dataset=DATASET, **options):
    """Returns a Segmenter whose network is the function `labels`."""
    opened = opening.Opened(labels, None, dataset, {}, network="nothing")
    return Segmenter(places.Place("tflite", "EXPORT/1"), opened, SegmenterConfig(saved_model="EXPORT/1", **options))


@pytest.fixture(scope="module")
def segmenter(short_mobilenet):
    return deeplab.Segmenter.load(small_training.logdir())


def encoded(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def turned(image):
    """Returns the bytes of a PNG file that a camera on its side would write of a (H, W, 3) image."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # viewers turn it clockwise
    return encoded(Image.fromarray(np.ascontiguousarray(np.rot90(image))), exif=exif)


def test_every_kind_of_image_is_the_same_image(tmp_path):
    path = tmp_path / "one.png"
    path.write_bytes(turned(IMAGE))
    alpha = np.dstack([IMAGE, np.full(IMAGE.shape[:2], 255, np.uint8)])
    kinds = {
        "array": IMAGE,
        "int64": IMAGE.astype(np.int64),
        "tensor": tf.constant(IMAGE),
        "path": path,
        "text": str(path),
        "address": f"file://{path}",
        "bytes": path.read_bytes(),
        "memory": memoryview(path.read_bytes()),
        "pillow": Image.open(path),
        "alpha": Image.fromarray(alpha),
    }
    for name, kind in kinds.items():
        (picture,), several = reading.read(kind)
        assert not several, name
        np.testing.assert_array_equal(picture.pixels, IMAGE, err_msg=name)
    grey = IMAGE[..., 0]
    for kind in (grey, Image.fromarray(grey), encoded(Image.fromarray(grey))):
        np.testing.assert_array_equal(reading.read(kind)[0][0].pixels, np.dstack([grey] * 3))


def test_several_images_give_a_list():
    segmenter = stub()
    assert isinstance(segmenter(IMAGE), deeplab.Result)
    batch = np.stack([IMAGE, IMAGE[::-1]])
    for images in (batch, tf.constant(batch), list(batch), [IMAGE, Image.fromarray(batch[1])]):
        found = segmenter(images)
        assert [type(one) for one in found] == [deeplab.Result] * 2
        np.testing.assert_array_equal(found[1].labels, IMAGE[::-1, :, 0] // 100)
    assert segmenter([]) == segmenter(batch[:0]) == []
    assert len(segmenter([IMAGE])) == len(segmenter(batch[:1])) == 1


def test_an_image_is_not_changed_by_its_owner_afterwards():
    memory = IMAGE.copy()
    found = stub()(memory)
    memory[:] = 0
    np.testing.assert_array_equal(found.image, IMAGE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (IMAGE[0, 0], r"the image: ndarray of shape \(3,\) and type uint8; expected .*\(H, W, 3\)"),
        (IMAGE[..., :1], r"shape \(40, 56, 1\)"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((1, 1, 4, 4, 3), np.uint8), r"shape \(1, 1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\) and type uint8, which has no pixels"),
        (IMAGE / np.float32(255), r"type float32; expected uint8, 0 to 255: np.rint"),
        (IMAGE.astype(np.int16) - 200, r"with values from -\d+ to \d+; expected uint8"),
        (IMAGE > 3, "type bool; expected uint8"),
        (tf.constant("text"), r"shape \(\) and type"),
        (7, "the image: int; expected a path"),
        (None, "the image: NoneType; expected a path"),
        ([[1, 2], [3, 4]], "image 0 of the list: list; expected a path"),
        ([IMAGE, IMAGE[None]], r"image 1 of the list: an array of shape \(1, 40, 56, 3\); expected one image"),
        ([IMAGE, "nowhere.png"], r"nowhere.png: cannot be read \(No such file"),
        ("a\0b.png", "not the path of a file"),
        ("/tmp", "/tmp: cannot be read"),
        (b"", "the image: not a readable image"),
        (b"nonsense", "the image: not a readable image"),
        (Image.new("F", (4, 4)), "the image: not a readable image .32 bit"),
        (Image.new("RGB", (0, 4)), "the image: 0x4 pixels"),
    ],
)
def test_what_is_no_image_is_told_with_what_is_taken(given, message):
    with pytest.raises(deeplab.UserError, match=message) as raised:
        stub()(given)
    assert "\n" not in str(raised.value)


def test_a_tensor_without_values_is_told():
    @tf.function(autograph=False)
    def graph(image):
        return stub()(image).labels

    with pytest.raises(deeplab.UserError, match="without values"):
        graph(tf.constant(IMAGE))


def test_a_damaged_pillow_image_is_one_line():
    content = encoded(Image.fromarray(fake_data.image(200, 200)), "JPEG")
    with pytest.raises(deeplab.UserError, match="the image: not a readable image"):
        stub()(Image.open(io.BytesIO(content[: len(content) // 2])))


def test_the_image_keeps_what_the_file_holds_beside_it(tmp_path, capsys):
    path = tmp_path / "clear.png"
    Image.new("RGBA", (6, 5)).save(path)
    stub()(path)
    assert f"transparent pixels, which were laid on white, for example {path}" in capsys.readouterr().err


def test_a_result_says_what_is_where(tmp_path):
    labels = np.zeros((4, 5), np.int32)
    labels[1:3] = 1
    found = result.Result(np.full((4, 5, 3), 100, np.uint8), labels, DATASET, lambda: 1 / 0)
    assert found.share == {"sky": 0.5, "road": 0.5, "tree": 0.0}
    assert repr(found) == "Result(4x5 pixels: sky 50.0 %, road 50.0 %)"
    assert np.asarray(found.picture())[1, 1].tolist() == [9, 8, 7]
    assert found.overlay().size == (5, 4)
    assert np.asarray(found.overlay(0))[3, 0].tolist() == [100, 100, 100]
    found.save(tmp_path / "ids.png")
    with Image.open(tmp_path / "ids.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), labels)
    own = dataclasses.replace(DATASET, source_ids=(0, 40, 50))  # the ids of the label files, as predict writes them
    result.Result(found.image, labels, own, None).save(tmp_path / "own.png")
    with Image.open(tmp_path / "own.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels * 40)
    for path, message in (("ids.jpg", "expected a name that ends in .png"), ("no/folder/ids.png", "cannot be written")):
        with pytest.raises(deeplab.UserError, match=message):
            found.save(tmp_path / path)
    with pytest.raises(deeplab.UserError, match="opacity=2"):
        found.overlay(2)


def test_many_classes_fit_into_one_line():
    dataset = catalog.Dataset("many", 6, class_names=[f"kind {i}" for i in range(4)] + ["two\nlines", "kind 3"])
    labels = np.array([[0, 1, 2, 3, 4, 5]])
    found = result.Result(np.zeros((1, 6, 3), np.uint8), labels, dataset, None)
    assert repr(found) == "Result(1x6 pixels: kind 3 33.3 %, kind 0 16.7 %, kind 1 16.7 % and 2 more)"
    assert sum(found.share.values()) == pytest.approx(1)


def test_polygons_hold_the_centres_of_their_pixels():
    pytest.importorskip("contourpy", reason="pip install contourpy")
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 3, (5, 6)), np.ones((3, 3), int))
    labels[4, 4] = (labels[4, 4] + 1) % 3  # a hole of one pixel
    found = result.Result(np.zeros((*labels.shape, 3), np.uint8), labels, DATASET, None).polygons()
    assert set(found) == {"sky", "road", "tree"}
    assert any(len(polygon) > 1 for polygons in found.values() for polygon in polygons)
    for label, name in enumerate(found):
        inside = np.zeros(labels.shape, int)
        for polygon in found[name]:
            for ring in polygon:
                np.testing.assert_array_equal(ring[0], ring[-1])
                inside += crossings(ring, labels.shape)
        np.testing.assert_array_equal(inside % 2 == 1, labels == label)


def crossings(ring, shape):
    """Returns (H, W): how often the line from the centre of a pixel to the right crosses a ring."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5 + 1e-6
    count = np.zeros(shape, int)
    for (x0, y0), (x1, y1) in itertools.pairwise(ring):
        if y0 != y1:
            count += ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return count


def test_polygons_without_their_package_name_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "contourpy", None)
    found = result.Result(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), int), DATASET, None)
    with pytest.raises(deeplab.UserError, match=r"polygons need contourpy.*pip install contourpy"):
        found.polygons()


def test_it_is_described_in_one_line(segmenter):
    folder = small_training.logdir()
    assert repr(segmenter) == f"Segmenter({folder!r}: checkpoint, mobilenet_v2 of step 7, 3 classes)"
    assert segmenter.class_names == ("kind 0", "kind 1", "kind 2")
    assert segmenter.dataset == small_training.dataset()


def test_it_computes_what_predict_labels_computes(segmenter):
    model = trained.load(small_training.logdir()).model
    labels, probabilities = deeplab.predict_labels(model, IMAGE[None])
    found = segmenter(IMAGE)
    np.testing.assert_array_equal(found.labels, labels[0])
    np.testing.assert_allclose(found.probabilities, probabilities[0], atol=1e-6)
    assert found.labels.dtype == np.int32


def test_threads_and_batches_get_the_labels_of_single_images(segmenter):
    pictures = [*small_training.pictures(), *small_training.pictures()]
    expected = [segmenter(picture).labels for picture in pictures]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found, labels in zip(pool.map(segmenter, pictures), expected, strict=True):
            np.testing.assert_array_equal(found.labels, labels)
    together = deeplab.Segmenter.load(small_training.logdir(), batch_size=2)(pictures)
    for found, picture, labels in zip(together, pictures, expected, strict=True):
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_array_equal(found.image, picture)


def test_keywords_make_the_configuration_that_the_flags_make():
    given = {
        "eval_scales": [0.5, 1],
        "add_flipped_images": True,
        "input_size": (33, 65),
        "crop_size": (65, 65),
        "checkpoint_dir": pathlib.Path("LOGDIR"),
        "input": "a.png",
        "output": "b",
        "output_stride": 8,
        "atrous_rates": (6, 12),
        "tf32": True,
    }
    words = "--eval_scales=0.5,1 --add_flipped_images --input_size=33,65 --crop_size=65,65 --checkpoint_dir=LOGDIR "
    words += "--input=a.png --output=b --output_stride=8 --atrous_rates=6,12 --tf32"
    expected = cli.read(PredictConfig, ["predict", *words.split()])
    assert keywords.configuration(PredictConfig, given, "f", "predict") == expected
    assert expected.passes.eval_scales == (0.5, 1.0)
    assert cli.read(PredictConfig, ["predict", "--checkpoint_dir=a", "--input=b", "--output=c"]) == (
        keywords.configuration(PredictConfig, {}, "f", "predict", checkpoint_dir="a", input="b", output="c")
    )


def test_options_arrive_where_predict_has_them(monkeypatch):
    seen = []
    monkeypatch.setattr(
        opening, "open_checkpoint", lambda config: seen.append(config) or opening.Opened(*[None] * 2, DATASET, {})
    )
    deeplab.Segmenter.load(small_training.logdir(), eval_scales=(0.5,), output_stride=8)
    (config,) = seen
    assert (config.checkpoint_dir, config.saved_model) == (small_training.logdir(), None)
    assert (config.passes.eval_scales, config.model) == ((0.5,), {"output_stride": 8})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (1.0,)}, "scales is no keyword of Segmenter.load; did you mean eval_scales?"),
        ({"output": "here"}, "output is no keyword of Segmenter.load; "),
        ({"eval_scales": (0.0,)}, r"eval_scales=\(0.0,\): expected at least one scale, all positive"),
        ({"eval_scales": "0.5"}, "eval_scales='0.5': expected a sequence of float"),
        ({"tile_overlap": 7}, "tile_overlap=7: has no effect without --tile_size"),
        ({"checkpoint": "model.ckpt-8"}, "no such checkpoint"),
        ({"preset": "mobilenetv2_coco_voc_trainaug"}, "has no effect, because .*config.json"),
        ({"label_weights": (1.0,)}, "label_weights=.*has no effect outside train"),
        ({"dataset": "cityscapes"}, "--dataset=cityscapes: has no effect"),
    ],
)
def test_wrong_options_get_the_answers_of_predict(options, message):
    with pytest.raises(deeplab.UserError, match=message):
        deeplab.Segmenter.load(small_training.logdir(), **options)


@pytest.fixture(scope="module")
def export(tmp_path_factory, short_mobilenet):
    return small_export.run(tmp_path_factory.mktemp("export"), verify=False)


def test_an_export_is_opened_by_every_path_to_it(export, segmenter, capsys):
    expected = segmenter(IMAGE).labels
    (export.parent / "2").mkdir(exist_ok=True)
    (export.parent / "2" / "dataset.json").write_text((export / "dataset.json").read_text())  # is being copied
    for path in (export.parent, export, export / "saved_model.pb"):
        opened = deeplab.Segmenter.load(path)
        assert (opened.kind, opened.path) == ("saved_model", str(export))
    assert "2 is not whole" in capsys.readouterr().err
    assert np.mean(opened(IMAGE).labels == expected) > 0.999
    assert np.abs(opened(IMAGE).probabilities - segmenter(IMAGE).probabilities).max() < 1e-3
    for options in ({"eval_scales": (0.5,)}, {"crop_size": (65, 65)}, {"output_stride": 8}, {"tile_size": (33, 33)}):
        with pytest.raises(deeplab.UserError, match=f"{next(iter(options))}=.*: expected no such flag beside"):
            deeplab.Segmenter.load(export, **options)
    with pytest.raises(deeplab.UserError, match="checkpoint='best': has no effect with --saved_model"):
        deeplab.Segmenter.load(export, checkpoint="best")


@pytest.mark.slow
def test_weights_without_a_configuration_take_the_flags_of_their_network(tmp_path):
    for name in ("model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001"):
        shutil.copy(pathlib.Path(small_training.logdir()) / name, tmp_path)
    options = {"num_classes": 3, "depth_multiplier": 0.25, "output_stride": 16, "decoder_output_stride": (4,)}
    for path in (tmp_path, tmp_path / "model.ckpt-7"):
        opened = deeplab.Segmenter.load(path, **options)
        assert opened.class_names == ("class 0", "class 1", "class 2")
    assert set(np.unique(opened(small_training.pictures()[2]).labels)) <= {0, 1, 2}
    with pytest.raises(deeplab.UserError, match=r"model.ckpt-7"):
        deeplab.Segmenter.load(tmp_path, **{**options, "depth_multiplier": 1.0})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere: no such file or folder, and no published model of that name; expected a train_logdir"),
        ("mobilenetv2_coco_voc_trainau", "did you mean mobilenetv2_coco_voc_trainaug"),
        ("mobilenetv2_coco_voc_trainaug", r"127\.0\.0\.1:9/\S+\.tar\.gz"),
        ("https://127.0.0.1:9/archive.tar.gz", "https://127.0.0.1:9/archive.tar.gz cannot be fetched"),
        ("nonsense://folder", "nonsense://folder: .*expected a train_logdir"),
        (".", "holds no network; expected a train_logdir"),
        (7, "7: expected a train_logdir.*, not int"),
    ],
)
def test_what_is_no_network_is_told(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEEPLAB_MODELS_URL", "http://127.0.0.1:9")
    with pytest.raises(deeplab.UserError, match=message):
        deeplab.Segmenter.load(name)


def test_files_of_an_export_need_their_card(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(deeplab.UserError, match=r"model.json does not lie beside it"):
        deeplab.Segmenter.load(tmp_path / "model.onnx")
    (tmp_path / "model.tflite").write_bytes(b"nonsense")  # weights of the original may bear this name
    with pytest.raises(deeplab.UserError, match=r"model.tflite: not a \.tflite file"):
        deeplab.Segmenter.load(tmp_path / "model.tflite")
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(deeplab.UserError, match=r"is not whole: model.json is missing"):
        deeplab.Segmenter.load(tmp_path)


@pytest.mark.slow
def test_an_export_for_one_size_takes_other_sizes(segmenter, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: the extra `export`")
    folder = small_export.run(tmp_path, format="tflite", crop_size=(65, 65))
    opened = deeplab.Segmenter.load(tmp_path)
    padded = np.full((65, 65, 3), 128, np.uint8)  # an export takes no 127.5
    padded[:40, :56] = IMAGE
    expected = segmenter(padded).labels[:40, :56]
    assert np.mean(opened(IMAGE).labels == expected) > 0.999
    assert "shrunk" not in capsys.readouterr().err
    large = fake_data.image(130, 97, seed=2)
    assert opened(large).labels.shape == (130, 97)
    opened(large)
    assert capsys.readouterr().err.count("130x97 pixels (height x width), shrunk to fit into 65x65") == 1
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(opened, [IMAGE] * 8):
            np.testing.assert_array_equal(found.labels, opened(IMAGE).labels)
    with pytest.raises(deeplab.UserError, match="batch_size=2: expected 1, since"):
        deeplab.Segmenter.load(tmp_path, batch_size=2)
    (folder / "model.tflite").write_bytes((folder / "model.tflite").read_bytes()[:-1] + b"?")
    with pytest.raises(deeplab.UserError, match="is not whole"):
        deeplab.Segmenter.load(tmp_path)


def test_a_lack_of_memory_is_one_line():
    def fail(image):
        raise MemoryError("unable to allocate 9 GiB")

    with pytest.raises(deeplab.UserError, match=r"the image: needs more memory than there is; .*unable to allocate 9"):
        stub(fail)(IMAGE)


def test_threads_on_a_gpu_compute_without_tf32_and_leave_it_as_it_was(monkeypatch):
    seen = []

    def labels(image):
        seen.append(tf.config.experimental.tensor_float_32_execution_enabled())
        time.sleep(0.01)
        return image[..., 0]

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    with devices.tf32(True), concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(stub(labels), [IMAGE] * 8))
        assert tf.config.experimental.tensor_float_32_execution_enabled()
        stub(labels, gpu=GpuConfig(tf32=True))(IMAGE)
    assert seen == [False] * 8 + [True]
