"""The REST interface of TensorFlow Serving: JSON requests become arrays, and arrays become JSON answers.

Nothing here needs TensorFlow, so that a request is checked in full before the network sees it.

Source: https://www.tensorflow.org/tfx/serving/api_rest (request format, encoding binary values).
"""

import base64
import json

import numpy as np

from deeplab.errors import UserError

DEFAULT_SIGNATURE = "serving_default"  # of a request that names none
_B64 = "b64"  # {"b64": "..."} stands for bytes, which JSON can't hold


class Refusal(UserError):
    """Why a request is not served: a message for the client, with the HTTP status of the answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def parse(body, signatures):
    """Reads the body of a predict request.

    Args:
      body: JSON text, as bytes.
      signatures: {name: `loading.Signature`} of the model.

    Returns:
      (name of the signature, {input: array}, whether the request has one row per image, `instances`, rather than one
      column per input, `inputs`). The answer has the same form.

    Raises:
      Refusal: the text is not JSON, or not a request that the signature takes.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"JSON Parse error: {type(error).__name__}") from None
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise Refusal(400, "Expected a JSON object with one of the keys 'instances' and 'inputs'")
    name = request.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str) or name not in signatures:
        raise Refusal(400, f"Serving signature name: {str(name)[:80]!r} not found in signature def")
    specs = signatures[name].inputs
    row = "instances" in request
    values = _by_row(request["instances"], specs) if row else _by_column(request["inputs"], specs)
    return name, {key: to_array(key, value, specs[key]) for key, value in values.items()}, row


def _by_row(instances, specs):
    if not isinstance(instances, list) or not instances:
        raise Refusal(400, "'instances' must be a list with at least one element")
    if not _named(instances[0]):
        return dict.fromkeys(_only(specs), instances)
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict) or instance.keys() != specs.keys():
            raise Refusal(400, f"Failed to process element: {i} of 'instances' list: expected keys {sorted(specs)}")
    return {name: [instance[name] for instance in instances] for name in specs}


def _by_column(inputs, specs):
    if not _named(inputs):
        return dict.fromkeys(_only(specs), inputs)
    if inputs.keys() != specs.keys():
        raise Refusal(400, f"'inputs' must have the keys {sorted(specs)}")
    return inputs


def _named(value):
    """Tells whether a JSON value gives inputs by their names; {"b64": ...} is a value itself."""
    return isinstance(value, dict) and value.keys() != {_B64}


def _only(specs):
    """Returns the names of the inputs, of which there must be one, since the request does not name it."""
    if len(specs) != 1:
        raise Refusal(400, f"Several inputs must be named: {sorted(specs)}")
    return list(specs)


def to_array(name, value, spec):
    """Returns the JSON value of the input `name` as an array with the type and a shape that its `spec` asks for.

    Raises:
      Refusal: the value has another type or shape, or holds nothing.
    """
    try:
        array = _texts(value) if spec.dtype == np.dtype(object) else _numbers(value, spec.dtype)
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        message = " ".join(str(error).split())[:200]
        raise Refusal(400, f"{name}: not an array of {spec.dtype_name} ({message})") from None
    fits = spec.shape is None or len(spec.shape) == array.ndim
    if not fits or any(want not in (None, have) for want, have in zip(spec.shape or (), array.shape, strict=False)):
        raise Refusal(400, f"{name}: shape {array.shape} where {spec.shape} is expected")
    if array.size == 0:
        raise Refusal(400, f"{name}: shape {array.shape} has no element")
    return array


def _numbers(value, dtype):
    """Returns nested lists of numbers as an array; raises a ValueError for what the type can't hold exactly."""
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(first, bool if dtype.kind == "b" else (int, float)):
        raise ValueError(f"a {type(first).__name__} where a number is expected")
    wide = np.array(value, np.int64 if dtype == np.int64 else np.float64)  # the type makes NumPy refuse texts
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not np.all((wide >= limits.min) & (wide <= limits.max) & (wide == np.floor(wide))):
            raise ValueError(f"whole numbers from {limits.min} to {limits.max} are expected")
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise ValueError("finite numbers are expected")
    return array


def _texts(value):
    """Returns nested lists of strings and {"b64": ...} as an array of bytes; raises a ValueError for anything else."""
    if isinstance(value, list):
        parts = [_texts(item) for item in value]
        if len({part.shape for part in parts}) > 1:
            raise ValueError("rows of different length")
        array = np.empty((len(parts), *(parts[0].shape if parts else ())), object)
        for i, part in enumerate(parts):
            array[i] = part[()]
        return array
    array = np.empty((), object)
    if isinstance(value, dict) and value.keys() == {_B64} and isinstance(value[_B64], str):
        array[()] = base64.b64decode(value[_B64], validate=True)
    elif isinstance(value, str):
        array[()] = value.encode()
    else:
        raise ValueError(f"a {type(value).__name__} where a string is expected")
    return array


def encode(outputs, row):
    """Returns the JSON answer (bytes) for {output: array}. In row format every array has one entry per instance."""
    values = {name: _to_json(name, np.asarray(array)) for name, array in outputs.items()}
    if len(values) == 1:
        (answer,) = values.values()
    elif row:
        answer = [dict(zip(values, entries, strict=True)) for entries in zip(*values.values(), strict=True)]
    else:
        answer = values
    return json.dumps({"predictions" if row else "outputs": answer}, separators=(",", ":")).encode()


def _to_json(name, array):
    """Returns an array as lists. TensorFlow Serving writes strings in base64 where the output's name ends in _bytes."""
    if array.dtype.kind not in "OSU":
        return array.tolist()

    def text(item):
        if isinstance(item, list):
            return [text(entry) for entry in item]
        item = item if isinstance(item, bytes) else str(item).encode()
        return {_B64: base64.b64encode(item).decode()} if name.endswith("_bytes") else item.decode("utf-8", "replace")

    return text(array.tolist())
