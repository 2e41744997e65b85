"""Reads frozen graphs (frozen_inference_graph.pb), whose constants bear the names of the variables they replaced.

Only the constants are unpacked, and only when their sizes are known: a node of two bytes could ask for any shape.
"""

import math

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from deeplab.checkpoints import index, wire
from deeplab.checkpoints.wire import BYTES, VARINT, Damaged
from deeplab.errors import UserError, one_line

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
_BEYOND = 256 << 20  # bytes that the arrays may be larger than the file
_MAX_NODES = 1_000_000
# Fields of TensorProto that variables have: type, shape, version, bytes, and values as float, double or half.
_TENSOR, _HALVES = (1, 2, 3, 4, 5, 6, 13), 13
_MAX_HALVES = 1 << 20  # bytes; the parser needs many times as much for them. Large constants have bytes


def read(path):
    """Returns {reference name: array} of the variables in a frozen graph.

    Raises:
      UserError: the file is not a frozen graph, or its constants do not bear the names of variables.
    """
    with tf.io.gfile.GFile(path, "rb") as file:
        content = memoryview(file.read())
    try:
        values = _values(content)
    except (Damaged, ValueError, TypeError) as error:
        reason = one_line(error, 200)
        raise UserError(f"{path}: not a frozen graph (damaged, or another kind of .pb file: {reason})") from None
    if not values:
        raise UserError(
            f"{path}: no constant bears a variable's name; expected a frozen_inference_graph.pb of the original"
        )
    return values


def _values(content):
    """Returns {reference name: array} of a message of type GraphDef; raises `Damaged`, ValueError or TypeError."""
    values, budget = {}, len(content) + _BEYOND
    for count, (number, kind, node) in enumerate(wire.fields(content)):
        if number != 1:
            continue
        if kind != BYTES or count > _MAX_NODES:
            raise Damaged(f"a graph of more than {_MAX_NODES} nodes" if kind == BYTES else "a node that is a number")
        given = wire.read(node, {1: BYTES, 2: BYTES, 5: BYTES}, repeated=(5,))  # name, operation, attributes
        name, operation = (bytes(given.get(field, b"")) for field in (1, 2))
        scope, _slash, leaf = name.rpartition(b"/")
        if operation != b"Const" or not scope or leaf.decode("latin-1") not in LEAVES:
            continue
        attributes = [wire.read(one, {1: BYTES, 2: BYTES}) for one in given[5]]
        for value in (one.get(2, b"") for one in attributes if one.get(1) == b"value"):
            tensor = wire.read(memoryview(value), {8: BYTES}).get(8, b"")
            budget -= _bytes_of(tensor)
            if budget < 0:
                raise Damaged("its constants are larger than the file")
            values[name.decode()] = tf.make_ndarray(tensor_pb2.TensorProto.FromString(bytes(tensor)))
    return values


def _bytes_of(tensor):
    """Returns how many bytes the array of a message of type TensorProto takes; raises `Damaged` unless it is numbers.

    A constant whose values are all the same has the value once, so that the array may be larger than the message.
    """
    tensor = memoryview(tensor)
    for number, _kind, value in wire.fields(tensor):
        if number not in _TENSOR or (number == _HALVES and not isinstance(value, int) and len(value) > _MAX_HALVES):
            raise Damaged("a constant that is no float")
    given = wire.read(tensor, {1: VARINT, 2: BYTES})
    if given.get(1, 0) not in index.ITEM_BYTES:
        raise Damaged(f"a constant of the type {given.get(1, 0)}")
    return math.prod(index.shape_of(given.get(2, b""))) * index.ITEM_BYTES[given[1]]
