"""ONNX, for ONNX Runtime and what else reads it."""

import os

import tensorflow as tf

from deeplab.exporting.formats import need
from deeplab.exporting.formats.fixed_size import INPUT, FixedSize
from deeplab.layers import resize

FILE = "model.onnx"
OPSET = 17  # of ONNX


def write(folder, exported):
    """Writes model.onnx; raises a UserError where tf2onnx is missing."""
    tf2onnx = need("tf2onnx", "--format=onnx")
    need("onnxruntime", "--format=onnx")
    module = FixedSize(exported)
    with resize.as_products():  # ONNX has no operation for which ONNX Runtime and TensorFlow agree on the size
        content, _ = tf2onnx.convert.from_function(module.labels, input_signature=module.signature, opset=OPSET)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "wb") as file:
        file.write(content.SerializeToString())


def reader(folder, exported):
    """Returns images -> labels, by ONNX Runtime."""
    runtime = need("onnxruntime", "--format=onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "rb") as file:
        session = runtime.InferenceSession(file.read(), options)
    return lambda images: session.run(None, {INPUT: images})[0]
