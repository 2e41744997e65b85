"""TFLite, for phones and small machines."""

import os

import tensorflow as tf

from deeplab.exporting.formats import need, pictures
from deeplab.exporting.formats.fixed_size import FixedSize

FILE = "model.tflite"
REPRESENTATIVE_IMAGES = 32  # from which int8 learns the range of every activation


def write(folder, exported):
    """Writes model.tflite; raises a UserError where LiteRT, which runs it, is missing or int8 has no images."""
    need("ai_edge_litert.interpreter", "--format=tflite")
    module = FixedSize(exported)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.labels.get_concrete_function()], module)
    _quantize(converter, exported)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "wb") as file:
        file.write(converter.convert())


def reader(folder, exported):
    """Returns images -> labels, by LiteRT."""
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


def _quantize(converter, exported):
    """Sets the converter up as --quantize says."""
    kind = exported.config.quantize
    if kind == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind == "int8":
        images = list(pictures.of_size(exported, REPRESENTATIVE_IMAGES))
        converter.representative_dataset = lambda: ([image] for image in images)
        # Scaling of pixels and the way from logits to labels stay float.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
