"""OpenVINO, for Intel processors."""

import logging
import tempfile

import numpy as np
import tensorflow as tf

from deeplab.exporting.formats import trial_images
from deeplab.exporting.formats.common import need
from deeplab.exporting.formats.fixed_size import FixedSize
from deeplab.exporting.formats.float_parts import until_layers

FILES: tuple[str, str] = ("model.xml", "model.bin")
# OpenVINO chooses the type that it computes in when it loads a file. These are its names of the types of --precision.
TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_LAYERS = ("Convolution", "GroupConvolution", "MatMul")  # the types of its operations that have weights


def require(config):
    """Returns OpenVINO; raises a UserError if it is missing, or NNCF where `config`, an `ExportConfig`, says int8."""
    if config.quantize == "int8":
        need("nncf", "--format=openvino --quantize=int8")
    return need("openvino", "--format=openvino")


def write(folder, network):
    """Writes model.xml and model.bin.

    Raises:
      UserError: what `require` raises; int8 lacks images.
    """
    openvino = require(network.config)
    quantize = _quantizer(network) if network.config.quantize == "int8" else lambda model: model
    tf.io.gfile.makedirs(folder)
    with tempfile.TemporaryDirectory() as work:  # OpenVINO writes local files only, `folder` may be remote
        FixedSize(network).save(f"{work}/source")
        model = quantize(openvino.convert_model(f"{work}/source"))
        model.set_rt_info("source", ["conversion_parameters", "input_model"])  # not the path on this machine
        openvino.save_model(model, f"{work}/{FILES[0]}", compress_to_fp16=False)
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


def _quantizer(network):
    """Returns a function that makes a model compute in int8, with ranges learnt from representative images."""
    nncf = need("nncf", "--format=openvino --quantize=int8")
    nncf.set_log_level(logging.ERROR)  # or it lists every operation that stays in float32
    images = trial_images.representative(network)
    # The smallest value of hard swish is -0.375: levels that are symmetric about 0 would leave half of them unused.
    swishes = any(getattr(layer, "activation", None) == "hard_swish" for layer in network.predictor.model.layers)
    # Processors without VNNI add two products of 8 bits in 16 bits, which full ranges overflow: 86 % of the labels of a
    # small network were right there, with half the range of the weights 97 %. An export must be right on all of them.
    overflow = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)

    def quantize(model):
        return nncf.quantize(
            model,
            nncf.Dataset(images),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED if swishes else nncf.QuantizationPreset.PERFORMANCE,
            advanced_parameters=overflow,
            ignored_scope=nncf.IgnoredScope(names=_in_float32(model), validate=False),
        )

    return quantize


def _in_float32(model):
    """Returns the names of the operations that stay in float32.

    The layers that compute logits and the operations between them and the labels stay, because 256 levels are too few
    to tell classes apart that are nearly equal.

    Enlarged features stay, too, up to the next layer. Where OpenVINO 2026.4 lets an Interpolate operation write int8,
    the labels of a small network with a decoder are chance (22 to 60 % are right, in float32 there: 96 %). The single
    cell that image pooling enlarges comes out right.
    """
    operations = {node.get_friendly_name(): node for node in model.get_ops()}

    def before(name):
        return [value.get_node().get_friendly_name() for value in operations[name].input_values()]

    def after(name):
        readers = (reader for output in operations[name].outputs() for reader in output.get_target_inputs())
        return [reader.get_node().get_friendly_name() for reader in readers]

    def is_layer(name):
        return operations[name].get_type_name() in _LAYERS

    results = [result.get_friendly_name() for result in model.get_results()]
    enlarged = [name for name, node in operations.items() if node.get_type_name() == "Interpolate" and _has_cells(node)]
    names = until_layers(results, before, is_layer) | until_layers(enlarged, after, is_layer)
    return sorted(name for name in names if operations[name].get_type_name() not in ("Constant", "Parameter", "Result"))


def _has_cells(node):
    """Tells whether the input of an operation has more than one cell; its axes may have any order."""
    return sum(side > 1 for side in node.get_input_shape(0)) > 1
