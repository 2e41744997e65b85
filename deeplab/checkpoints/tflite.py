"""Reads .tflite files that were made from a graph of the original: float32, float16, and quantized to 8 bits.

Their tensors bear the names of the variables, and their batch norms are folded into the convolutions. Quantized values
become (value - zero point) * scale, with one scale for a tensor or one for each channel.

The generated reader does not check what it reads, and its classes that unpack a whole file need many times its size. So
every table is read where it lies, by an index that was compared with the length of its list.

TFLite orders axes so: convolution (out, k, k, in), depthwise (1, k, k, C * multiplier), fully connected (out, in).
"""

import functools
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.checkpoints.wire import Damaged
from deeplab.errors import UserError

_BEYOND = 256 << 20  # bytes that constants may be larger than the file, where operators share them
_MAX_OPERATORS, _MAX_NAME, _MAX_RANK, _MAX_CHANNELS = 100_000, 10_000, 8, 100_000
_FLOAT32 = 0  # TensorType in TFLite's schema, as the keys below
_TYPES = {_FLOAT32: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
_CONV_2D, _DEPTHWISE_CONV_2D, _DEQUANTIZE, _FULLY_CONNECTED = 3, 4, 6, 9  # BuiltinOperator in TFLite's schema
_KERNELS = {
    _CONV_2D: ("weights", lambda kernel: kernel.transpose(1, 2, 3, 0)),
    _DEPTHWISE_CONV_2D: ("depthwise_weights", lambda kernel: kernel.transpose(1, 2, 3, 0)),
    _FULLY_CONNECTED: ("weights", lambda kernel: kernel.T[None, None]),
}
_VARIABLE = re.compile(  # a trained quantization leaves the name of the operation that rounds the variable
    r"(?P<scope>.+)/(?P<leaf>(depthwise_|pointwise_)?weights)(/read|_quant/FakeQuantWithMinMaxVars\w*)?\d*"
)
_OPERATION = re.compile(  # names of operations in the scope of a convolution; converters append numbers and _bias
    r"(?P<scope>.+)/"
    r"((?P<separable>separable_conv2d)(/depthwise)?|Conv2D|depthwise|BatchNorm/.+|BiasAdd|biases)(_Fold)?(_bias)?\d*"
)


class _Convolution(NamedTuple):
    """One convolution of the file, with its arrays in TFLite's order of axes."""

    operator: int  # a key of _KERNELS
    names: list[str]  # of its tensors, those of the kernel first
    kernel: np.ndarray
    bias: np.ndarray | None
    quantized: bool = False  # whether the kernel has less than 32 bits in the file


def read(path):
    """Returns ({reference name: kernel}, {scope: bias}, whether they were dequantized) of a .tflite file.

    Kernels are (k, k, in, out) and (k, k, C, 1), float32. A bias is either a variable or what folding left of a batch
    norm: the file does not tell which, only the model does.

    Raises:
      UserError: the file is no .tflite file, or no kernel bears the name of a variable.
    """
    try:
        convolutions = list(_convolutions(path))
    except UserError:
        raise
    except Exception as error:  # the generated reader does not check: damage raises exceptions of many classes
        raise UserError(f"{path}: damaged .tflite file ({_reason(error)}); download it again") from None
    kernels, biases = {}, {}
    dequantized = any(convolution.quantized for convolution in convolutions)
    for convolution in convolutions:
        name = _variable_name(convolution)
        if name is not None:
            kernels[name] = np.ascontiguousarray(_KERNELS[convolution.operator][1](convolution.kernel))
            if convolution.bias is not None:
                biases[name.rsplit("/", 1)[0]] = convolution.bias
    if not kernels:
        raise UserError(f"{path}: no kernel bears a variable's name; expected a file made of a graph of the original")
    return kernels, biases, dequantized


def _reason(error):
    return str(error) if isinstance(error, Damaged) else type(error).__name__


def _variable_name(convolution):
    """Returns the reference's name of the kernel, e.g. `aspp0/weights`, or None if no tensor gives it away."""
    for pattern in (_VARIABLE, _OPERATION):
        for found in filter(None, map(pattern.fullmatch, convolution.names)):
            parts = found.groupdict()
            leaf = parts.get("leaf") or _KERNELS[convolution.operator][0]
            if leaf == "weights":  # a trained quantization calls those of depthwise convolutions so, too
                leaf = _KERNELS[convolution.operator][0]
            if parts.get("separable") and leaf == "weights":
                leaf = "pointwise_weights"
            return f"{found['scope']}/{leaf}"
    return None


class _File:
    """A .tflite file and its first graph, in the classes that TensorFlow generates from TFLite's schema.

    Raises:
      UserError: the content is of another kind of file.
    """

    def __init__(self, content, path):
        from tensorflow.lite.python import schema_py_generated as schema  # large, and few programs need it

        if content[4:8] != b"TFL3":
            raise UserError(f"{path}: not a .tflite file (its identifier is {content[4:8]!r}, not b'TFL3')")
        self.path, self._model = path, schema.Model.GetRootAsModel(content, 0)
        self._graph = self._item(self._model.Subgraphs, self._model.SubgraphsLength(), 0)
        self._left = len(content) + _BEYOND  # bytes that the constants may take
        self.operators = self._graph.OperatorsLength()
        if self.operators > _MAX_OPERATORS:
            raise Damaged(f"more than {_MAX_OPERATORS} operators")

    @staticmethod
    def _item(at, length, index):
        if not 0 <= index < length:
            raise Damaged(f"item {index} of a list of {length}")
        return at(index)

    def operator(self, index):
        """Returns (operator, its kind, which is a number in TFLite's schema)."""
        operator = self._item(self._graph.Operators, self.operators, index)
        code = self._item(self._model.OperatorCodes, self._model.OperatorCodesLength(), operator.OpcodeIndex())
        return operator, max(code.BuiltinCode(), code.DeprecatedBuiltinCode())

    def tensor(self, index):
        """Returns a tensor of the graph."""
        return self._item(self._graph.Tensors, self._graph.TensorsLength(), index)

    def constant(self, tensor):
        """Returns the value of a constant tensor as float32, or None for a tensor that is computed."""
        buffer = self._item(self._model.Buffers, self._model.BuffersLength(), tensor.Buffer())
        if buffer.DataLength() == 0:
            return None
        kind = _TYPES.get(tensor.Type())
        if kind is None:
            raise UserError(f"{self.path}: {_name(tensor)} has values of a type that weights never have")
        self._left -= buffer.DataLength() // np.dtype(kind).itemsize * np.dtype(np.float32).itemsize
        if self._left < 0:
            raise Damaged("its constants are larger than the file")
        shape = [int(tensor.Shape(axis)) for axis in range(min(tensor.ShapeLength(), _MAX_RANK))]
        if min(shape, default=0) < 0:
            raise Damaged(f"a constant of the shape {shape}")
        values = np.frombuffer(bytes(buffer.DataAsNumpy()), kind).reshape(shape)
        return values if kind == np.float32 else _dequantized(values, tensor)

    def behind(self, index):
        """Returns the tensor that is read in place of a tensor, which an operation may make a float of."""
        tensor = self.tensor(index)
        return self.tensor(self._sources[index]) if index in self._sources else tensor

    @functools.cached_property
    def _sources(self):
        """Returns {tensor: the one that a DEQUANTIZE makes it of}, as numbers."""
        found = {}
        for number in range(self.operators):
            operator, kind = self.operator(number)
            if kind == _DEQUANTIZE and operator.InputsLength() and operator.OutputsLength():
                found[operator.Outputs(0)] = operator.Inputs(0)
        return found


def _dequantized(values, tensor):
    """Returns float32 values of a tensor with fewer bits, or of a bias, whose int32 has the product of two scales."""
    how = tensor.Quantization()
    if how is None or how.ScaleLength() == 0:
        return values.astype(np.float32)
    if how.ScaleLength() > _MAX_CHANNELS:
        raise Damaged(f"{how.ScaleLength()} scales of a tensor")
    scales = np.array([how.Scale(i) for i in range(how.ScaleLength())], np.float64)
    zeros = np.array([how.ZeroPoint(i) for i in range(min(how.ZeroPointLength(), len(scales)))] or [0], np.float64)
    if len(scales) > 1:
        shape = [1] * values.ndim
        shape[how.QuantizedDimension() % values.ndim] = -1
        scales, zeros = (part.reshape(shape) if len(part) > 1 else part for part in (scales, zeros))
    return ((values - zeros) * scales).astype(np.float32)


def _name(tensor):
    name = tensor.Name() or b""
    if len(name) > _MAX_NAME:
        raise Damaged(f"a name of {len(name)} bytes")
    return name.decode()


def _convolutions(path):
    """Yields every `_Convolution` with a constant kernel."""
    with tf.io.gfile.GFile(path, "rb") as raw:
        file = _File(raw.read(), path)
    for index in range(file.operators):
        operator, kind = file.operator(index)
        if kind in _KERNELS:
            yield from _convolution(file, operator, kind)


def _convolution(file, operator, kind):
    """Yields the `_Convolution` of one operator, or nothing if its kernel is computed in the graph."""
    inputs = [operator.Inputs(place) for place in range(min(operator.InputsLength(), 3))]  # image, kernel, bias
    tensors = [file.behind(index) for index in inputs[1:] if index >= 0]
    kernel = file.constant(tensors[0])
    if kernel is None:
        return
    bias = file.constant(tensors[1]) if len(tensors) > 1 else None
    named = [file.tensor(index) for index in inputs[1:] if index >= 0]
    if operator.OutputsLength():
        named.append(file.tensor(operator.Outputs(0)))
    names = [part for tensor in (*tensors, *named) for part in _name(tensor).split(";")]  # merged operations: "a;b;c"
    yield _Convolution(kind, names, kernel, bias, tensors[0].Type() != _FLOAT32)
