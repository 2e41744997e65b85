"""Reads frozen graphs (frozen_inference_graph.pb), whose constants bear the names of the variables they replaced."""

import tensorflow as tf
from google.protobuf.message import DecodeError

from deeplab.errors import UserError

LEAVES = (  # last parts of the reference's variable names
    "weights",
    "depthwise_weights",
    "pointwise_weights",
    "biases",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)


def read(path):
    """Returns {reference name: array} of the variables in a frozen graph.

    Raises:
      UserError: the file is not a frozen graph, or its constants do not bear the names of variables.
    """
    graph = tf.compat.v1.GraphDef()
    with tf.io.gfile.GFile(path, "rb") as file:
        try:
            graph.ParseFromString(file.read())
        except DecodeError:
            raise UserError(f"{path}: not a frozen graph (damaged, or another kind of .pb file)") from None
    values = {
        node.name: tf.make_ndarray(node.attr["value"].tensor)
        for node in graph.node
        if node.op == "Const" and "/" in node.name and node.name.rsplit("/", 1)[1] in LEAVES
    }
    if not values:
        raise UserError(
            f"{path}: no constant bears a variable's name; expected a frozen_inference_graph.pb of the original"
        )
    return values
