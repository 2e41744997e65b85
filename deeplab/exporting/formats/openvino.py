"""OpenVINO, for Intel processors."""

import tempfile

import numpy as np
import tensorflow as tf

from deeplab.exporting.formats import need
from deeplab.exporting.formats.fixed_size import FixedSize

FILES = ("model.xml", "model.bin")
TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}  # --precision -> that it is asked to compute in


def write(folder, exported):
    """Writes model.xml and model.bin; raises a UserError where OpenVINO is missing."""
    openvino = need("openvino", "--format=openvino")
    tf.io.gfile.makedirs(folder)
    with tempfile.TemporaryDirectory() as work:
        FixedSize(exported).save(f"{work}/source")
        openvino.save_model(openvino.convert_model(f"{work}/source"), f"{work}/{FILES[0]}", compress_to_fp16=False)
        for name in FILES:
            tf.io.gfile.copy(f"{work}/{name}", f"{folder}/{name}")


def reader(folder, exported, precision="float32"):
    """Returns images -> labels, by OpenVINO on the CPU."""
    openvino = need("openvino", "--format=openvino")
    contents = []
    for name in FILES:
        with tf.io.gfile.GFile(f"{folder}/{name}", "rb") as file:
            contents.append(file.read())
    core = openvino.Core()
    model = core.read_model(contents[0], openvino.Tensor(np.frombuffer(contents[1], np.uint8)))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": TYPES[precision]})
    return lambda images: compiled(images)[0]
