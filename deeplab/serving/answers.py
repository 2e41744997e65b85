"""Answers to predict requests: arrays become JSON in pieces, and are sent piece by piece.

No piece takes long: while one is written, no other thread runs. What an answer holds counts towards the memory of the
server until the client has it.
"""

import base64
import json

import numpy as np
import orjson
from starlette.responses import Response

_FEW = 1 << 14  # numbers, or bytes of texts, that are written in less time than a thread takes to begin
_PIECE = 1 << 18  # numbers that are written at a time, in about 10 ms


class Answer(Response):
    """An answer of several pieces; `release` is called when the client has it, or is gone.

    Args:
      pieces: list of bytes.
      release: function () -> None.
    """

    media_type = "application/json"

    def __init__(self, pieces, release):
        super().__init__()
        self._pieces, self._release = pieces, release
        self.headers["content-length"] = str(sum(map(len, pieces)))

    async def __call__(self, scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._release()


def is_short(outputs):
    """Tells whether `encode` takes less time for {output: array} than a thread takes to begin."""
    return sum(map(_length, outputs.values())) <= _FEW


def _length(array):
    array = np.asarray(array)
    if array.dtype.kind not in "OSU":
        return array.size
    return sum(map(len, array.reshape(-1).tolist())) if array.size <= _FEW else array.size


def encode(outputs, row):
    """Returns the JSON answer for {output: array} as a list of bytes. In row format every array has one entry per
    instance."""
    key = b'{"predictions":' if row else b'{"outputs":'
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        answer = _json(name, np.asarray(array))
    elif row:
        arrays = {name: np.asarray(array) for name, array in outputs.items()}
        counts = {len(array) for array in arrays.values()}
        if len(counts) != 1:
            raise ValueError("outputs of different length in row format")
        answer = _list(_named({name: array[i] for name, array in arrays.items()}) for i in range(*counts))
    else:
        answer = _named({name: np.asarray(array) for name, array in outputs.items()})
    return [key, *answer, b"}"]


def _named(arrays):
    parts = [b"{"]
    for i, (name, array) in enumerate(arrays.items()):
        parts += [b"," if i else b"", orjson.dumps(name), b":", *_json(name, np.asarray(array))]
    return [*parts, b"}"]


def _list(entries):
    parts = [b"["]
    for i, entry in enumerate(entries):
        parts += [b",", *entry] if i else entry
    return [*parts, b"]"]


def _json(name, array):
    """Returns an array as the pieces of a JSON list.

    TensorFlow Serving writes strings in base64 where the output's name ends in _bytes.
    """
    if array.ndim and array.size > _PIECE:
        count = len(array) * _PIECE // array.size
        if count < 1:
            return _list(_json(name, entry) for entry in array)
        pieces = (_json(name, array[i : i + count]) for i in range(0, len(array), count))
        return _list([b"".join(piece)[1:-1]] for piece in pieces)  # without their brackets
    if array.dtype.kind in "OSU":
        return [orjson.dumps(_texts(array.tolist(), name.endswith("_bytes")))]
    if array.dtype.kind not in "biu":  # as the double that equals it, which is what clients have been sent before
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            return [json.dumps(array.tolist(), separators=(",", ":")).encode()]  # NaN, Infinity: as Python writes them
    if array.ndim == 0:
        return [orjson.dumps(array.item())]
    return [orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)]


def _texts(item, in_base64):
    if isinstance(item, list):
        return [_texts(entry, in_base64) for entry in item]
    item = item if isinstance(item, bytes) else str(item).encode()
    return {"b64": base64.b64encode(item).decode()} if in_base64 else item.decode("utf-8", "replace")
