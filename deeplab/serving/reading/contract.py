"""The REST interface of TensorFlow Serving: JSON requests become arrays, and arrays become JSON answers.

Nothing here needs TensorFlow, so that a request is checked in full before the network sees it.

Source: https://www.tensorflow.org/tfx/serving/api_rest (request format, encoding binary values).
"""

import base64
import math
from typing import NamedTuple

import numpy as np
import orjson

from deeplab.errors import UserError, one_line
from deeplab.pictures import headers

DEFAULT_SIGNATURE = "serving_default"  # of a request that names none
_B64 = "b64"  # {"b64": "..."} stands for bytes, which JSON can't hold


class Refusal(UserError):
    """Why a request is not served: a message for the client, with the HTTP status of the answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class InputSpec(NamedTuple):
    """What a signature takes as one input: as `loading.Spec`, of which it has the fields that are needed here."""

    dtype: np.dtype
    dtype_name: str
    shape: tuple[int | None, ...] | None


class Request(NamedTuple):
    """A predict request that was read and checked.

    Attributes:
      signature: name of a signature of the model.
      inputs: {input: array}.
      row: whether the request has one row per image, `instances`, rather than one column per input, `inputs`. The
        answer has the same form.
      sizes: a list of [images, height, width, scans], what the images in the inputs are; see `sizes`.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    row: bool
    sizes: list[list[int]]


def described(signatures):
    """Returns the inputs of {name: `loading.Signature`} as values that JSON can hold, which `parse` takes."""
    return {
        name: {key: (spec.dtype.name, spec.dtype_name, spec.shape) for key, spec in signature.inputs.items()}
        for name, signature in signatures.items()
    }


def type_of(name):
    """Returns the NumPy type of that name; TensorFlow's own types, such as bfloat16, are those of ml_dtypes."""
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))


def parse(body, signatures, max_images=math.inf):
    """Returns the `Request` in the body of a predict request.

    Args:
      body: JSON text, as bytes.
      signatures: what `described` returns of those of the model.
      max_images: how many encoded images, or entries along a first axis of free length, there may be.

    Raises:
      Refusal: the text is not JSON, or not a request that the signature takes, has too many images, or what `sizes`
        raises.
    """
    try:
        request = orjson.loads(body)
    except (ValueError, RecursionError) as error:
        if "memory" in str(error):  # which orjson reports as an error of the text
            raise MemoryError from None
        raise Refusal(400, f"JSON Parse error: {type(error).__name__}") from None
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise Refusal(400, "Expected a JSON object with one of the keys 'instances' and 'inputs'")
    name = request.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str) or name not in signatures:
        raise Refusal(400, f"Serving signature name: {str(name)[:80]!r} not found in signature def")
    specs = {
        key: InputSpec(type_of(kind), dtype_name, shape and tuple(shape))
        for key, (kind, dtype_name, shape) in signatures[name].items()
    }
    row = "instances" in request
    values = _by_row(request["instances"], specs) if row else _by_column(request["inputs"], specs)
    inputs = {}
    for key, value in values.items():
        is_free = not specs[key].shape or specs[key].shape[0] is None
        _check_count(len(value) if is_free and isinstance(value, list) else 1, max_images)
        inputs[key] = to_array(key, value, specs[key])
        _check_count(inputs[key].size if inputs[key].dtype == np.dtype(object) else 1, max_images)
    return Request(name, inputs, row, sizes(inputs))


def _check_count(count, max_images):
    """Refuses a request with too many images, before they cost more than their JSON does."""
    if count > max_images:
        raise Refusal(413, f"{count} images; at most {max_images} are taken, so send several requests")


def sizes(inputs):
    """Returns [images, height, width, scans] of every array of images and every encoded image in {input: array}.

    A string is an encoded image: what is of no known format is refused, since the graph would try every decoder on it.

    Raises:
      Refusal: 400, from `header`.
    """
    found = []
    for array in inputs.values():
        if array.dtype == np.dtype(object):
            found += [[1, one.height, one.width, one.scans] for one in map(header, array.reshape(-1))]
        elif array.ndim == 4:
            found.append([*array.shape[:3], 1])
    return found


def header(content):
    """Returns the `headers.Header` of an encoded image.

    Raises:
      Refusal: 400, it is of no format that strangers may send, damaged, or has several frames.
    """
    try:
        found = headers.read(content, "image", headers.SENT)
    except UserError as error:
        raise Refusal(400, str(error)) from None
    if found.frames > 1:
        raise Refusal(400, f"Animated images are not taken, and this {found.format} has several frames")
    return found


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
        message = one_line(error, 200)
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
