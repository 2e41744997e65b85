"""A frozen GraphDef with the names of the reference's graph, for programs that were written for TensorFlow 1."""

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab.exporting.signatures import ExportedModule
from deeplab.inference.exports import REFERENCE_INPUT, REFERENCE_LABELS, REFERENCE_PROBABILITIES, REFERENCE_SIGNATURE

FILE = "frozen_inference_graph.pb"  # as in the reference's archives


def require(_config):
    """Needs no package beside TensorFlow."""


def write(folder, network):
    """Writes the graph: ImageTensor (1, H, W, C) -> SemanticPredictions (1, H, W), SemanticProbabilities."""
    how = {"input_size": network.input_size, "channels": network.loaded.dataset}
    module = ExportedModule(network.predictor, network.config.resize, **how)
    frozen = convert_variables_to_constants_v2(module.signatures()[REFERENCE_SIGNATURE])
    graph = frozen.graph.as_graph_def()
    # A function has its outputs in the order of their names, but the graph does not have these names.
    for name, tensor in zip(sorted((REFERENCE_LABELS, REFERENCE_PROBABILITIES)), frozen.outputs, strict=True):
        node = graph.node.add(op="Identity", name=name, input=[tensor.name])
        node.attr["T"].type = tensor.dtype.as_datatype_enum
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "wb") as file:
        file.write(graph.SerializeToString())


def reader(folder):
    """Returns a function images -> labels that runs the graph in a session of TensorFlow 1."""
    run = runner(folder)
    return lambda images: run(images, REFERENCE_LABELS)[0]


def runner(folder):
    """Returns a function (images, names of outputs) -> list of these outputs, which runs the graph in a session."""
    definition = tf.compat.v1.GraphDef()
    with tf.io.gfile.GFile(f"{folder}/{FILE}", "rb") as file:
        definition.ParseFromString(file.read())
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    session = tf.compat.v1.Session(graph=graph)
    return lambda images, *names: session.run([f"{name}:0" for name in names], {f"{REFERENCE_INPUT}:0": images})
