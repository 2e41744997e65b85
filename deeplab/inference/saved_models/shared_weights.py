"""Functions of an export as graphs whose large weights are arguments, so that they lie in memory only once.

TensorFlow copies the constants of a graph about ten times while it prepares the graph, and keeps several of the copies.
It does not copy arguments. But oneDNN arranges the filter of a convolution anew in every call, unless the operation
says that its filter is constant, and TensorFlow says so only where the filter is a constant of the graph. This module
says it for filters that are arguments and never change, by the operations into which TensorFlow 2.21 itself turns
convolutions.
"""

import collections
import functools
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework import function_def_to_graph, graph_to_function_def, importer, tensor_util
from tensorflow.python.grappler import tf_optimizer

from deeplab import processor
from deeplab.inference.saved_models import functions_of
from deeplab.layers import hardware

_LEAST = 1 << 16  # bytes of a constant that becomes an argument
WORTHWHILE = 32 << 20  # bytes of all of them together; preparing takes a second, even for a small network
_MARK = "_deeplab_weight"  # attribute of the placeholder of a weight: its number
_DEVICE = "/job:localhost/replica:0/task:0/device:CPU:0"  # Grappler fuses only operations that have a device
_NATIVE = {"Conv2D": "_MklNativeConv2D", "_FusedConv2D": "_MklNativeFusedConv2D"}
# What the operations of _NATIVE compute after the convolution.
_FUSED = [[], [b"BiasAdd"], [b"BiasAdd", b"Relu"], [b"BiasAdd", b"Relu6"], [b"BiasAdd", b"Add"]]
_FUSED += [[b"BiasAdd", b"Add", b"Relu"]]


class Prepared(NamedTuple):
    """A function that is optimised already.

    Attributes:
      definition: its FunctionDef; its arguments are those of the function that it comes from, then the weights.
      functions: the functions that it calls.
      weights: the tensors of the weights.
    """

    definition: Any
    functions: list[Any]
    weights: list[tf.Tensor]


def applies():
    """Tells whether TensorFlow computes with oneDNN on a CPU, for which this form is made."""
    return processor.uses_onednn() and not hardware.is_accelerated()


def shareable(library):
    """Returns the names of the functions in {name: FunctionDef} that `prepare` takes.

    They hold large weights or call functions that do, and do not call these for elements or in branches and loops.
    There are none if all weights together are small.
    """
    large = {name: [node for node in one.node_def if _is_large(node)] for name, one in library.items()}
    if sum(node.attr["value"].tensor.ByteSize() for nodes in large.values() for node in nodes) < WORTHWHILE:
        return set()
    holders = {name for name, nodes in large.items() if nodes}
    found = set()
    for name in library:
        inlined, others = functions_of.called(name, library)
        if holders & inlined and not holders & others:
            found.add(name)
    return found


def prepare(names, library):
    """Returns {name: `Prepared`} of some of the functions that `shareable` names.

    Args:
      names: of the functions.
      library: {name: FunctionDef}. Its large constants are taken out.
    """
    weights = _take_weights(library)
    return {name: _prepared(name, library, weights) for name in names}


@functools.cache
def config():
    """Returns the serialized ConfigProto to call what is prepared with: it is not to be optimised again."""
    chosen = config_pb2.ConfigProto()
    chosen.graph_options.rewrite_options.disable_meta_optimizer = True
    return chosen.SerializeToString()


def _is_large(node):
    return (
        node.op == "Const"
        and node.attr["dtype"].type == tf.float32.as_datatype_enum  # other types have no _FusedConv2D to be read again
        and node.attr["value"].tensor.ByteSize() >= _LEAST  # its content itself would be copied here
    )


def _take_weights(library):
    """Puts a placeholder in the place of every large constant; returns the tensors, which their marks number."""
    weights = []
    with tf.device("CPU:0"):
        for node in (node for definition in library.values() for node in definition.node_def if _is_large(node)):
            content = node.attr["value"].tensor
            weights.append(tf.constant(tensor_util.MakeNdarray(content)))
            kind, shape = content.dtype, content.tensor_shape.SerializeToString()
            node.op = "Placeholder"
            node.ClearField("attr")
            node.attr["dtype"].type = kind
            node.attr["shape"].shape.ParseFromString(shape)
            node.attr[_MARK].i = len(weights) - 1
    return weights


def _prepared(name, library, weights):
    """Returns the `Prepared` of a function in a library without large constants."""
    inputs, outputs, optimised = _optimised(library[name], library)
    numbers = {node.name: node.attr[_MARK].i for node in optimised.node if _MARK in node.attr}
    filters = _filters(optimised, numbers)
    _place(optimised, "")
    for node in optimised.node:
        waits = [one for one in node.input if one.startswith("^") and one[1:] in numbers]  # weights are always there
        for one in waits:
            node.input.remove(one)
        if node.name in numbers and node.name not in filters:
            _put_back(node, weights[numbers[node.name]])
    graph = tf.Graph()
    with graph.as_default():
        importer.import_graph_def(optimised, name="")
    arguments = [*inputs, *filters]
    operations = [operation for operation in graph.get_operations() if operation.name not in arguments]
    definition = graph_to_function_def.graph_to_function_def(
        graph,
        operations,
        [graph.get_tensor_by_name(f"{one}:0") for one in arguments],
        [graph.get_tensor_by_name(one) for one in outputs],
        out_names=[f"output_{place}" for place in range(len(outputs))],
    )
    definition.signature.name = f"{name}_shared"
    _say_constant(definition, {argument.name for argument in definition.signature.input_arg[len(inputs) :]})
    return Prepared(definition, list(optimised.library.function), [weights[numbers[one]] for one in filters])


def _optimised(definition, library):
    """Returns (names of the arguments, names of the results, optimised GraphDef) of a function."""
    inlined, others = functions_of.called(definition.signature.name, library)
    used = [library[name] for name in sorted((inlined | others) - {definition.signature.name})]
    with tf.Graph().as_default():
        functions = function_pb2.FunctionDefLibrary(function=used)
        importer.import_graph_def(tf.compat.v1.GraphDef(library=functions), name="")  # or they would not be found
        plain, places = function_def_to_graph.function_def_to_graph_def(definition)
    plain.library.CopyFrom(functions)
    _place(plain, _DEVICE)
    outputs = [places[definition.ret[argument.name]] for argument in definition.signature.output_arg]
    graph = tf.Graph()
    with graph.as_default():
        importer.import_graph_def(plain, name="")
        meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    meta.collection_def["train_op"].node_list.value.extend(outputs)  # what is kept
    options = config_pb2.ConfigProto()
    options.graph_options.rewrite_options.min_graph_nodes = -1  # also graphs of a few operations
    return [one.name for one in definition.signature.input_arg], outputs, tf_optimizer.OptimizeGraph(options, meta)


def _place(graph, device):
    """Puts every operation of a GraphDef and of its library on a device; "" leaves the choice to the runtime."""
    for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
        for node in nodes:
            node.device = device


def _filters(graph, numbers):
    """Returns the names of those nodes of `numbers` that only convolutions read, as their filters, in a GraphDef."""
    readers = collections.defaultdict(list)
    for node in graph.node:
        for place, source in enumerate(node.input):
            readers[source.partition(":")[0]].append((node, place))
    return [name for name in numbers if readers[name] and all(_is_filter(*reader) for reader in readers[name])]


def _is_filter(node, place):
    fused = list(node.attr["fused_ops"].list.s) if "fused_ops" in node.attr else []
    return place == 1 and node.op in _NATIVE and fused in _FUSED


def _put_back(node, weight):
    """Makes a constant of the placeholder of a weight again."""
    content = tensor_util.make_tensor_proto(weight.numpy())
    node.op = "Const"
    node.ClearField("attr")
    node.attr["dtype"].type = content.dtype
    node.attr["value"].tensor.CopyFrom(content)


def _say_constant(definition, filters):
    """Tells the convolutions of a FunctionDef that their filters are constant, which are the arguments `filters`."""
    for node in definition.node_def:
        if node.op in _NATIVE and node.input[1] in filters:
            node.op = _NATIVE[node.op]
            node.attr["is_filter_const"].b = True
            node.attr["_kernel"].s = b"MklNameChangeOp"
            for name in ("filter_format", "use_cudnn_on_gpu"):
                node.attr.pop(name, None)
