"""Reads float32 .tflite files that were made from a graph of the original.

Their tensors bear the names of the variables, and their batch norms are folded into the convolutions.

TFLite orders axes so: convolution (out, k, k, in), depthwise (1, k, k, C * multiplier), fully connected (out, in).
"""

import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError

_FLOAT32 = 0  # TensorType in TFLite's schema
_CONV_2D, _DEPTHWISE_CONV_2D, _FULLY_CONNECTED = 3, 4, 9  # BuiltinOperator in TFLite's schema
_KERNELS = {
    _CONV_2D: ("weights", lambda kernel: kernel.transpose(1, 2, 3, 0)),
    _DEPTHWISE_CONV_2D: ("depthwise_weights", lambda kernel: kernel.transpose(1, 2, 3, 0)),
    _FULLY_CONNECTED: ("weights", lambda kernel: kernel.T[None, None]),
}
_VARIABLE = re.compile(r"(?P<scope>.+)/(?P<leaf>(depthwise_|pointwise_)?weights)(/read)?")
_OPERATION = re.compile(  # names of operations in the scope of a convolution; converters append numbers and _bias
    r"(?P<scope>.+)/"
    r"((?P<separable>separable_conv2d)(/depthwise)?|Conv2D|depthwise|BatchNorm/.+|BiasAdd|biases)(_bias)?\d*"
)


class _Convolution(NamedTuple):
    """One convolution of the file, with its arrays in TFLite's order of axes."""

    operator: int  # a key of _KERNELS
    names: list[str]  # of its tensors, those of the kernel first
    kernel: np.ndarray
    bias: np.ndarray | None


def read(path):
    """Returns ({reference name: kernel}, {scope: bias}) of the convolutions in a .tflite file.

    Kernels are (k, k, in, out) and (k, k, C, 1). A bias is either a variable or what folding left of a batch norm: the
    file does not tell which, only the model does.

    Raises:
      UserError: the file is no .tflite file or not float32, or no kernel bears the name of a variable.
    """
    try:
        convolutions = list(_convolutions(path))
    except UserError:
        raise
    except Exception as error:  # the generated reader does not check: damage raises exceptions of many classes
        raise UserError(f"{path}: damaged .tflite file ({type(error).__name__}); download it again") from None
    kernels, biases = {}, {}
    for convolution in convolutions:
        name = _variable_name(convolution)
        if name is not None:
            kernels[name] = np.ascontiguousarray(_KERNELS[convolution.operator][1](convolution.kernel))
            if convolution.bias is not None:
                biases[name.rsplit("/", 1)[0]] = convolution.bias
    if not kernels:
        raise UserError(f"{path}: no float32 kernel bears a variable's name; expected one of the original")
    return kernels, biases


def _variable_name(convolution):
    """Returns the reference's name of the kernel, e.g. `aspp0/weights`, or None if no tensor gives it away."""
    for pattern in (_VARIABLE, _OPERATION):
        for found in filter(None, map(pattern.fullmatch, convolution.names)):
            parts = found.groupdict()
            leaf = parts.get("leaf") or _KERNELS[convolution.operator][0]
            if parts.get("separable") and leaf == "weights":
                leaf = "pointwise_weights"
            return f"{found['scope']}/{leaf}"
    return None


def _convolutions(path):
    """Yields every `_Convolution` with a constant kernel."""
    from tensorflow.lite.python import schema_py_generated as schema  # large, and few programs need it

    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    if content[4:8] != b"TFL3":
        raise UserError(f"{path}: not a .tflite file (its identifier is {content[4:8]!r}, not b'TFL3')")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    graph = model.subgraphs[0]
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if kind in _KERNELS:
            yield from _convolution(model, graph, operator, kind, path)


def _convolution(model, graph, operator, kind, path):
    """Yields the `_Convolution` of one operator, or nothing if its kernel is computed in the graph."""
    inputs = [int(index) for index in operator.inputs]
    kernel = _constant(model, graph.tensors[inputs[1]], path)
    if kernel is None:
        return
    bias = _constant(model, graph.tensors[inputs[2]], path) if len(inputs) > 2 and inputs[2] >= 0 else None
    tensors = [graph.tensors[index] for index in inputs[1:] if index >= 0]
    tensors.append(graph.tensors[int(operator.outputs[0])])
    names = [part for tensor in tensors for part in tensor.name.decode().split(";")]  # merged operations: "a;b;c"
    yield _Convolution(kind, names, kernel, bias)


def _constant(model, tensor, path):
    """Returns the value of a constant tensor, or None for a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    if tensor.type != _FLOAT32:
        raise UserError(f"{path}: {tensor.name.decode()} is not float32; quantized and float16 files can't be restored")
    return np.frombuffer(bytes(data), np.float32).reshape(tensor.shape)
