"""A published model on photographs: from its checkpoint, and from the .tflite file that it was taken from."""

import numpy as np
import pytest
import tensorflow as tf

import deeplab
from helpers.places import SHARED

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
