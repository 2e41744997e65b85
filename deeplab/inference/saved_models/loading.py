"""The signatures of a SavedModel, opened so that its weights lie in memory as few times as TensorFlow allows.

`tf.saved_model.load` copies a function into every function that calls it. The weights of our exports are constants of
one function, which the functions of all signatures call, so that a process holds them about 15 times.
`open_saved_model` hands the functions to TensorFlow's runtime as they are.
"""

import gc
import itertools
import threading
import weakref
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.eager import context, execute

from deeplab import devices
from deeplab.inference.saved_models import functions_of, shared_weights

GRAPH_FILE = "saved_model.pb"
_numbers = itertools.count()  # of the SavedModels of this process: each gives its functions names of their own


class Spec(NamedTuple):
    """One input or output of a signature.

    `dtype` is object for strings, `dtype_name` the name of TensorFlow's type, such as "DT_UINT8". `shape` has None for
    a side of any size, and is None itself for a tensor of any rank. `tensor` is the tensor's name in the graph.
    """

    dtype: np.dtype
    dtype_name: str
    shape: tuple[int | None, ...] | None
    tensor: str


class Signature(NamedTuple):
    """The inputs and outputs of one function of a SavedModel, by their names."""

    inputs: dict[str, Spec]
    outputs: dict[str, Spec]


class _Function(NamedTuple):
    """How a signature is called in the runtime."""

    name: str
    inputs: tuple[str, ...]  # the names of the signature's inputs in the order of the function's arguments
    outputs: dict[str, int]  # the place of each output among the function's results
    num_results: int
    weights: tuple[tf.Tensor, ...] | None = None  # further arguments of a function that is optimised already


def open_saved_model(path):
    """Opens the SavedModel in the folder `path`.

    Returns:
      Its signatures as {name: `Signature`}, and one of `Functions`, which calls them.

    Raises:
      Everything that `tf.saved_model.load` raises.
    """
    read = _reader(tf.io.gfile.join(path, GRAPH_FILE))
    graph = read()
    signatures = _signatures(graph)
    direct = _open_direct(graph, signatures, read)
    del graph  # before memory is needed to prepare it; TensorFlow's loader would read the file again
    if isinstance(direct, Divided):
        gc.collect()  # the graphs of Python that were made on the way hold parts of it in cycles
    devices.return_freed_memory()
    if direct is not None:
        return signatures, direct
    return signatures, Loaded(tf.saved_model.load(path))


def _reader(path):
    """Returns a function that reads the MetaGraphDef in a saved_model.pb, also after the file has been removed.

    The function raises a ValueError if the file holds no SavedModel, and everything that reading a file raises.
    """
    file = tf.io.gfile.GFile(path, "rb")
    size = file.size()

    def read():
        saved = saved_model_pb2.SavedModel()
        try:
            file.seek(0)
            saved.ParseFromString(file.read(size))
            return saved.meta_graphs[0]
        except (IndexError, message.DecodeError):
            raise ValueError(f"cannot parse {path}") from None

    return read


def _signatures(graph):
    """Returns {name: `Signature`} of a MetaGraphDef."""
    return {
        name: Signature(_specs(definition.inputs), _specs(definition.outputs))
        for name, definition in graph.signature_def.items()
        if not name.startswith("__saved_model")  # TensorFlow's own: operations that initialise variables
    }


def _open_direct(graph, signatures, read):
    """Returns the functions of a SavedModel as a `Direct` or `Divided`, or None if TensorFlow's loader has to open it.

    TensorFlow's loader is needed where a signature uses objects besides its inputs, such as variables and tables.

    Args:
      graph: the MetaGraphDef. Its functions get other names.
      signatures: its signatures, {name: `Signature`}.
      read: function that reads the graph again.
    """
    library = _library(graph)
    nodes = {node.name: node for node in graph.graph_def.node}
    calls = {name: _called(signature, nodes) for name, signature in signatures.items()}
    if not calls or None in calls.values() or graph.graph_def.library.registered_gradients:
        return None
    needed = functions_of.reachable({call.name for call in calls.values()}, library)
    if any("shared_name" in node.attr for name in needed for node in library[name].node_def):
        return None  # resources, which two SavedModels must not share
    results = {name: len(function.signature.output_arg) for name, function in library.items()}
    calls = {name: call._replace(num_results=results[call.name]) for name, call in calls.items()}
    library = {name: library[name] for name in needed}
    names = shared_weights.shareable(library) if shared_weights.applies() else set()
    shared = {name: call for name, call in calls.items() if call.name in names}
    if not shared:
        return Direct(library.values(), calls, signatures)
    rest = {name: call for name, call in calls.items() if name not in shared}
    return Divided(_with_shared_weights(shared, library, signatures), rest, signatures, read)


def _library(graph):
    """Returns {name: FunctionDef} of a MetaGraphDef."""
    return {function.signature.name: function for function in graph.graph_def.library.function}


def _with_shared_weights(calls, library, signatures):
    """Returns the `Direct` of {name of a signature: `_Function`} that shares weights; takes them out of the library."""
    prepared = shared_weights.prepare({call.name for call in calls.values()}, library)
    functions = {}
    for one in prepared.values():
        functions |= {function.signature.name: function for function in (*one.functions, one.definition)}
    for name, call in calls.items():
        one = prepared[call.name]
        calls[name] = call._replace(name=one.definition.signature.name, weights=tuple(one.weights))
    return Direct(functions.values(), calls, signatures)


class Direct:
    """Functions without state in the runtime. They stay there as long as this object lives.

    Args:
      functions: FunctionDefs, which get other names.
      calls: {name of a signature: `_Function`}.
      signatures: {name: `Signature`}.
    """

    def __init__(self, functions, calls, signatures):
        self._signatures = signatures
        self._prepared: set[str] = set()  # names of the signatures that ran before
        self._preparing = threading.Lock()
        prefix = f"deeplab_{next(_numbers)}_"
        names = {function.signature.name: prefix + function.signature.name for function in functions}
        self._calls = {name: call._replace(name=names[call.name]) for name, call in calls.items()}
        added: list[str] = []
        weakref.finalize(self, _remove, added).atexit = False
        for function in functions:
            functions_of.rename(function, names)
            context.context().add_function_def(function)
            added.append(function.signature.name)

    def call(self, name, inputs):
        """Returns {output: tensor} of {input: tensor} by the signature `name`.

        Raises:
          TypeError: the signature takes other inputs.
          Everything that TensorFlow raises.
        """
        expected, function = self._signatures[name].inputs, self._calls[name]
        if set(inputs) != set(expected):
            raise TypeError(f"{name} takes {sorted(expected)}, not {sorted(inputs)}")
        for key, tensor in inputs.items():
            spec = expected[key]
            if f"DT_{tensor.dtype.name.upper()}" != spec.dtype_name or not tensor.shape.is_compatible_with(spec.shape):
                raise TypeError(f"{key} is {tensor.dtype.name} {tensor.shape}, not {spec.dtype_name} {spec.shape}")
        results = self._results(name, function, [inputs[key] for key in function.inputs])
        return {key: results[place] for key, place in function.outputs.items()}

    def _results(self, name, function, tensors):
        """Returns the results of a function. Only one thread at a time runs functions for the first time.

        TensorFlow prepares a graph then, which copies the weights several times, and two threads would do so twice.
        """
        if name in self._prepared:
            return _run(function, tensors)
        with self._preparing:
            results = _run(function, tensors)
            if name not in self._prepared:
                self._prepared.add(name)
                devices.return_freed_memory()
            return results


class Divided:
    """Functions with shared weights, and the others, which are read when one of them is called for the first time.

    Most programs call one signature only, and the others would need the weights once more.

    Args:
      shared: the `Direct` of the functions with shared weights.
      rest: {name of a signature: `_Function`} of the others.
      signatures: {name: `Signature`} of all.
      read: function that reads the graph again, a MetaGraphDef.
    """

    def __init__(self, shared, rest, signatures, read):
        self._shared, self._rest, self._signatures, self._read = shared, rest, signatures, read
        self._reading = threading.Lock()
        self._others: Direct | None = None

    def call(self, name, inputs):
        """Returns {output: tensor} of {input: tensor} by the signature `name`; raises what `Direct.call` raises."""
        if name not in self._rest:
            return self._shared.call(name, inputs)
        with self._reading:
            if self._others is None:
                library = _library(self._read())
                needed = functions_of.reachable({call.name for call in self._rest.values()}, library)
                self._others = Direct([library[one] for one in needed], self._rest, self._signatures)
        return self._others.call(name, inputs)


class Loaded:
    """The signatures of a SavedModel that TensorFlow's loader opened.

    Args:
      module: what `tf.saved_model.load` returns. Signatures do not keep the weights that they use, so that this object
        must live as long as any of them runs.
    """

    def __init__(self, module: Any):
        self._module = module

    def call(self, name, inputs):
        """Returns {output: tensor} of {input: tensor}; raises what TensorFlow raises."""
        return self._module.signatures[name](**inputs)


Functions = Direct | Divided | Loaded


def _called(signature, nodes):
    """Returns the `_Function` of a signature, with 0 for `num_results`; None if it is more than one call."""
    places = {key: spec.tensor.partition(":") for key, spec in signature.outputs.items()}
    names = {name for name, _colon, _place in places.values()}
    node = nodes.get(names.pop()) if len(names) == 1 else None
    if node is None or node.op not in functions_of.CALLS:
        return None
    keys = {spec.tensor.partition(":")[0]: key for key, spec in signature.inputs.items()}
    inputs = [name.removesuffix(":0") for name in node.input]
    if set(inputs) != set(keys) or len(inputs) != len(keys):
        return None
    outputs = {key: int(place) for key, (_name, _colon, place) in places.items()}
    return _Function(node.attr["f"].func.name, tuple(keys[name] for name in inputs), outputs, 0)


def _run(function, tensors):
    """Returns the results of a `_Function`."""
    if function.weights is None:
        return context.context().call_function(function.name.encode(), tensors, function.num_results)
    attributes = ("config_proto", shared_weights.config())
    inputs = [*tensors, *function.weights]
    return execute.execute(function.name.encode(), function.num_results, inputs, attributes, context.context())


def _remove(names):
    for name in names:
        if context.context().has_function(name):
            context.context().remove_function(name)


def _specs(infos):
    """Returns {name: Spec} of {name: TensorInfo}, a message of TensorFlow's."""
    found = {}
    for name, info in infos.items():
        kind = tf.as_dtype(info.dtype)
        sizes = None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
        shape = None if sizes is None else tuple(None if size < 0 else size for size in sizes)
        dtype = np.dtype(object) if kind == tf.string else np.dtype(kind.as_numpy_dtype)
        found[name] = Spec(dtype, f"DT_{kind.name.upper()}", shape, info.name)
    return found
