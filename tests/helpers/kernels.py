"""Which nodes of a graph a GPU can run, read from TensorFlow's registry of kernels, which lists them without a GPU.

Trace a graph with `deeplab.layers.hardware.is_accelerated` patched to True, or the graph is the one for CPUs.
"""

import functools
import math

import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import kernels, op_def_registry

# Nodes that may stay on the CPU, with the reason. Soft placement puts them there, in SavedModels and tf.functions.
ON_THE_CPU = {
    "DecodeImage": "reads a file",
    "EncodePng": "writes a file",
    "ScaleAndTranslate": "shrinks a photograph once before the network, of which it takes less than a hundredth",
    "Assert": "prints its message on the host",
    "StringFormat": "text is in host memory",
}
# Nodes of these types hold text or files, which never are in the memory of a GPU.
HOST_TYPES = {types_pb2.DT_STRING}


def gpu_gaps(graph_def):
    """Lists the nodes of a GraphDef and of its functions that no GPU kernel runs.

    A node has a kernel if the registry has one for GPU or for every device (DEFAULT), without a label, whose type
    constraints hold. The registry does not know that the kernel of depthwise convolutions refuses dilations.

    Returns:
      Texts such as "function/node: DepthwiseConv2dNative {'T': 'bfloat16'}".
    """
    known = {function.signature.name for function in graph_def.library.function}
    gaps = []
    for place, node in _nodes(graph_def):
        if node.op in known or node.op in ON_THE_CPU or "CPU" in node.device:
            continue
        types = _types(node)
        dilated = node.op.startswith("DepthwiseConv2d") and any(rate > 1 for rate in node.attr["dilations"].list.i)
        if dilated or not (HOST_TYPES & {one for some in types.values() for one in some} or _gpu_kernels(node, types)):
            named = {name: ",".join(tf.as_dtype(one).name for one in some) for name, some in types.items()}
            gaps.append(f"{place}{node.name}: {node.op} {named}{' with dilations' if dilated else ''}")
    return gaps


def host_nodes(graph_def, least_elements):
    """Lists the nodes whose GPU kernel keeps a tensor of at least `least_elements` in host memory.

    Such a tensor travels between the GPU and the host, which waits for it. Sides of unknown length count as long.

    Args:
      graph_def: with the shapes of all outputs, as `graph.as_graph_def(add_shapes=True)` gives it.
      least_elements: of a tensor that is listed.

    Returns:
      Texts such as "function/node: AddV2 z (4, 513, 513) int32".
    """
    known = {function.signature.name: function.signature for function in graph_def.library.function}
    shapes = _shapes(graph_def, known)
    assert any(shapes.values()), "the GraphDef has no shapes: make it with add_shapes=True"
    found = []
    for place, node in _nodes(graph_def):
        if node.op in known or node.op in ON_THE_CPU or "CPU" in node.device:
            continue
        sides = {"input": [_input_shape(shapes, place, name) for name in node.input if not name.startswith("^")]}
        sides["output"] = shapes.get((place, node.name), [])
        found += [f"{place}{node.name}: {node.op} {text}" for text in _large_on_host(node, sides, least_elements)]
    return found


def _nodes(graph_def):
    """Yields ("" or "function/", NodeDef) for every node."""
    yield from (("", node) for node in graph_def.node)
    for function in graph_def.library.function:
        yield from ((f"{function.signature.name}/", node) for node in function.node_def)


def _types(node):
    """Returns {attribute: set of types} of a node; defaults of the operation fill what the node does not say."""
    types = {}
    for declared in op_def_registry.get(node.op).attr:
        value = node.attr.get(declared.name, declared.default_value)
        if declared.type == "type":
            types[declared.name] = {value.type}
        elif declared.type == "list(type)":
            types[declared.name] = set(value.list.type)
    return types


def _gpu_kernels(node, types):
    """Returns the KernelDefs of the registry that a GPU may use for a node."""
    return [
        kernel
        for kernel in _registered(node.op)
        if all(types.get(one.name, set()) <= set(one.allowed_values.list.type) for one in kernel.constraint)
    ]


def _shapes(graph_def, known):
    """Returns {("" or "function/", node or argument): [TensorShape of each output]}; "node:output:" begins a part."""
    shapes = {}
    for place, node in _nodes(graph_def):
        outputs = [tf.TensorShape(shape) for shape in node.attr["_output_shapes"].list.shape]
        shapes[place, node.name] = outputs
        rest = list(outputs)
        for argument in (known.get(node.op) or op_def_registry.get(node.op)).output_arg:
            count = _count(argument, node)
            shapes[place, f"{node.name}:{argument.name}"], rest = rest[:count], rest[count:]
    for function in graph_def.library.function:
        for index, argument in enumerate(function.signature.input_arg):
            shape = function.arg_attr[index].attr["_output_shapes"].list.shape
            shapes[f"{function.signature.name}/", argument.name] = [tf.TensorShape(one) for one in shape]
    return shapes


def _input_shape(shapes, place, name):
    """Returns the TensorShape of "node", "node:1" or, in a function, "argument" or "node:output:1"."""
    node, _colon, index = name.rpartition(":")
    outputs, index = shapes.get((place, node or name), []), int(index) if node else 0
    return outputs[index] if index < len(outputs) else tf.TensorShape(None)


@functools.cache
def _registered(operation):
    """Returns the KernelDefs of an operation for GPUs and for every device that need no label."""
    registered = kernels.get_registered_kernels_for_op(operation).kernel
    return [kernel for kernel in registered if kernel.device_type in ("GPU", "DEFAULT") and not kernel.label]


def _large_on_host(node, sides, least_elements):
    """Returns a text for each large tensor of a node that every GPU kernel of its operation keeps in host memory."""
    matching = _gpu_kernels(node, _types(node))
    best = max((kernel.priority for kernel in matching), default=0)
    on_host = [set(kernel.host_memory_arg) for kernel in matching if kernel.priority == best]
    on_host = set.intersection(*on_host) if on_host else set()
    definition = op_def_registry.get(node.op)
    texts = []
    for arguments, shapes in ((definition.input_arg, sides["input"]), (definition.output_arg, sides["output"])):
        for argument in arguments:
            count = _count(argument, node)
            mine, shapes = shapes[:count], shapes[count:]
            if argument.name in on_host:
                large = [shape for shape in mine if _elements(shape, least_elements) >= least_elements]
                kind = argument.type or node.attr[argument.type_attr].type
                texts += [f"{argument.name} {shape} {tf.as_dtype(kind).name if kind else 'list'}" for shape in large]
    return texts


def _count(argument, node):
    """Returns how many tensors an argument of an operation stands for."""
    if argument.number_attr:
        return node.attr[argument.number_attr].i
    return len(node.attr[argument.type_list_attr].list.type) if argument.type_list_attr else 1


def _elements(shape, unknown):
    """Returns the elements of a TensorShape: a side of unknown length has `unknown`, a tensor of unknown rank none."""
    return math.prod(unknown if side is None else side for side in shape) if shape.rank is not None else 0
