"""OpenVINO, for Intel processors."""

import tempfile

import numpy as np
import tensorflow as tf

from deeplab.exporting.formats.common import need
from deeplab.exporting.formats.fixed_size import FixedSize

FILES = ("model.xml", "model.bin")
# OpenVINO chooses the type that it computes in when it loads a file. These are its names of the types of --precision.
TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def write(folder, network):
    """Writes model.xml and model.bin; raises a UserError if OpenVINO is missing."""
    openvino = need("openvino", "--format=openvino")
    tf.io.gfile.makedirs(folder)
    with tempfile.TemporaryDirectory() as work:  # OpenVINO writes local files only, `folder` may be remote
        FixedSize(network).save(f"{work}/source")
        openvino.save_model(openvino.convert_model(f"{work}/source"), f"{work}/{FILES[0]}", compress_to_fp16=False)
        for name in FILES:
            tf.io.gfile.copy(f"{work}/{name}", f"{folder}/{name}")


def reader(folder, precision="float32"):
    """Returns a function images -> labels that runs the files in OpenVINO on the CPU."""
    openvino = need("openvino", "--format=openvino")
    contents = []
    for name in FILES:
        with tf.io.gfile.GFile(f"{folder}/{name}", "rb") as file:
            contents.append(file.read())
    core = openvino.Core()
    model = core.read_model(contents[0], openvino.Tensor(np.frombuffer(contents[1], np.uint8)))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": TYPES[precision]})
    return lambda images: compiled(images)[0]
