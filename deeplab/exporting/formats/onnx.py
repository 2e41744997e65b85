"""ONNX, for ONNX Runtime and other engines that read it."""

import os

import tensorflow as tf

from deeplab.exporting.formats.common import need
from deeplab.exporting.formats.fixed_size import INPUT, FixedSize
from deeplab.layers import resize

FILE = "model.onnx"
OPSET = 17  # the version of ONNX's operations


def require(_config):
    """Returns tf2onnx; raises a UserError if it or ONNX Runtime is missing."""
    need("onnxruntime", "--format=onnx")
    return need("tf2onnx", "--format=onnx")


def write(folder, network):
    """Writes model.onnx; raises what `require` raises."""
    tf2onnx = require(network.config)
    module = FixedSize(network)
    # ONNX has no resize operation for which ONNX Runtime and TensorFlow agree on the size: products of matrices do.
    with resize.as_products():
        content, _ = tf2onnx.convert.from_function(module.labels, input_signature=module.signature, opset=OPSET)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "wb") as file:
        file.write(content.SerializeToString())


def reader(folder):
    """Returns a function images -> labels that runs the file in ONNX Runtime."""
    runtime = need("onnxruntime", "--format=onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "rb") as file:
        session = runtime.InferenceSession(file.read(), options)
    return lambda images: session.run(None, {INPUT: images})[0]
