"""TFLite, for phones and small computers."""

import os

import tensorflow as tf

from deeplab.exporting.formats import tflite_int8, trial_images
from deeplab.exporting.formats.common import need
from deeplab.exporting.formats.fixed_size import FixedSize

FILE = "model.tflite"


def require(_config):
    """Raises a UserError if LiteRT, which verifies the file, is missing."""
    need("ai_edge_litert.interpreter", "--format=tflite")


def write(folder, network):
    """Writes model.tflite.

    Raises:
      UserError: what `require` raises; int8 finds no images.
    """
    require(network.config)
    module = FixedSize(network)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.labels.get_concrete_function()], module)
    content = _converted(converter, network)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "wb") as file:
        file.write(content)


def reader(folder):
    """Returns a function images -> labels that runs the file in LiteRT."""
    litert = need("ai_edge_litert.interpreter", "--format=tflite")
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "rb") as file:
        interpreter = litert.Interpreter(model_content=file.read(), num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def labels(images):
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return labels


def _converted(converter, network):
    """Returns the content of the file, whose weights have the type that --quantize says."""
    kind = network.config.quantize
    if kind != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        return tflite_int8.convert(converter, trial_images.representative(network))
    return converter.convert()
