"""A published model on photographs: from its checkpoint, and from the .tflite file that it was taken from."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import deeplab
from deeplab.checkpoints import bundle
from helpers import fake_data, published_archives
from helpers.file_server import serving
from helpers.places import SHARED
from helpers.readme_commands import run_program

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # the extra `export` is not installed; TensorFlow still has its predecessor
    Interpreter = tf.lite.Interpreter

FOLDER = SHARED / "pretrained"
FILES = ["mobilenetv2_dm05_voc/model.ckpt-30000", "deeplabv3_257_mv_gpu.tflite"]
SIX_SCALES = deeplab.MODELS["mobilenetv2_coco_voc_trainaug"].evaluations[1].eval_scales
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.exists(), reason="no ../shared/pretrained beside the repository"),
]


def pretrained(file, output_stride, side=513):
    config = deeplab.ModelConfig(depth_multiplier=0.5, output_stride=output_stride, crop_size=(side, side))
    model = deeplab.build_model(config)
    report = deeplab.restore(model, FOLDER / file)
    assert len(report.loaded) == 272
    assert not report.missing
    return model


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("image", [1, 2])
def test_labels_of_photographs(file, image):
    golden = np.load(FOLDER / f"golden_image{image}.npz")
    labels, _ = deeplab.predict_labels(pretrained(file, 16), golden["image"][None])
    assert np.mean(labels[0] == golden["labels_os16"]) >= 0.999


def test_labels_with_six_scales_and_flips():
    golden = np.load(FOLDER / "golden_image2.npz")
    model = pretrained(FILES[1], 8)
    labels, _ = deeplab.predict_labels(model, golden["image"][None], SIX_SCALES, add_flipped_images=True)
    assert np.mean(labels[0] == golden["labels_os8_multi_scale_flip"]) >= 0.999


@pytest.mark.parametrize("file", FILES)
def test_labels_of_the_tflite_interpreter(file):
    photograph = tf.io.decode_jpeg(tf.io.read_file(str(FOLDER / "image1.jpg")))
    image = tf.cast(tf.cast(tf.image.resize(photograph, (257, 257)), tf.uint8), tf.float32)[None]
    interpreter = Interpreter(str(FOLDER / FILES[1]))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image / 127.5 - 1)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    labels, _ = deeplab.predict_labels(pretrained(file, 8, side=257), image)
    assert np.mean(labels == np.argmax(expected, -1)) >= 0.999


@pytest.mark.parametrize("image", [1, 2])
def test_labels_of_a_quantized_file(image):
    """Of the interpreter, which computes in 8 bits; the file is MobileNet v2 of depth 1 for VOC."""
    file = str(FOLDER / "quantized" / "deeplabv3_mnv2_pascal_quant.tflite")
    photograph = tf.io.decode_jpeg(tf.io.read_file(str(FOLDER / f"image{image}.jpg")))
    image = tf.cast(tf.image.resize(photograph, (513, 513)), tf.uint8)[None]
    interpreter = Interpreter(file)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    model = deeplab.build_model(deeplab.ModelConfig(output_stride=16, crop_size=(513, 513)))
    report = deeplab.restore(model, file)
    assert (len(report.loaded), len(report.missing)) == (272, 0)
    labels, _ = deeplab.predict_labels(model, image)
    assert np.mean(labels == expected) >= 0.98


def test_one_command_fetches_them_and_gives_the_originals_labels(tmp_path, monkeypatch):
    """From a server of this machine; the connection breaks once, and the second run does without the server."""
    golden = np.load(FOLDER / "golden_image1.npz")
    fake_data.save(golden["image"], tmp_path / "photo.png")
    content = published_archives.archive(bundle.read(str(FOLDER / FILES[0])))
    half = len(content) // 2
    monkeypatch.setenv("DEEPLAB_CACHE", str(tmp_path / "cache"))
    command = (f"--preset={published_archives.PRESET}", f"--input={tmp_path}/photo.png")
    with serving({published_archives.ARCHIVE: content}) as (address, behaviour):
        monkeypatch.setenv("DEEPLAB_MODELS_URL", address)
        behaviour.cuts = [half]
        # The original pads to its crop, which changes some labels.
        for output, least, more in (("one", 0.98, ()), ("two", 0.999, ("--crop_size=513,513",))):
            run_program("predict", *command, f"--output={tmp_path / output}", *more)
            labels = np.asarray(Image.open(tmp_path / output / "photo.png"))
            assert np.mean(labels == golden["labels_os16"]) >= least
        assert [wanted for _path, wanted, _version in behaviour.requests] == [None, f"bytes={half}-"]
    place = tmp_path / "cache" / published_archives.ARCHIVE
    content = bytearray(content)
    content[half] ^= 1
    place.write_bytes(content)
    with pytest.raises(deeplab.UserError, match="altered since it was downloaded"):
        deeplab.load(f"preset:{published_archives.PRESET}")
