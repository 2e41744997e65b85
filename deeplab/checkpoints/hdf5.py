"""Reads the arrays of an HDF5 file in a process of its own, because libhdf5 believes what a file says.

A file of 66 bytes can ask for 8 GB, and damaged files can end the process. The child checks the size of every array
before it reads the array, and sends all of them as one line of JSON and their bytes.
"""

import json
import math
import os
import sys
import tempfile

import numpy as np

from deeplab.errors import UserError
from deeplab.files import limited

MEMORY = 1 << 30  # bytes that a child may hold beside twice the file
_SECONDS = 300
_BEYOND = 256 << 20  # bytes that arrays may be larger than their file, for files that are compressed
_MAX_ARRAYS = 100_000
_MAX_NAME = 1000


def arrays(path):
    """Returns [(layer's name, variable's name or index, array)] of a file with weights of Keras 2 or 3.

    Raises:
      UserError: the file is damaged, or its arrays are larger than the file can hold.
      OSError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="deeplab-") as folder, tempfile.TemporaryFile() as output:
        copy = limited.local_copy(path, folder)
        try:
            limited.run("deeplab.checkpoints.hdf5", [copy], 2 * os.path.getsize(copy) + MEMORY, _SECONDS, output)
        except limited.Failed as error:
            raise UserError(f"{path}: not an HDF5 file, or damaged ({error}); download it again") from None
        output.seek(0)
        header = json.loads(output.readline())
        return [(layer, leaf, _array(output, dtype, shape)) for layer, leaf, dtype, shape in header]


def _array(file, dtype, shape):
    content = file.read(math.prod(shape) * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype).reshape(shape)


def _send(path):
    """Writes what `arrays` returns to the standard output."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        found = _found(file, os.path.getsize(path) + _BEYOND)
        header = [(layer, leaf, item.dtype.str, item.shape) for layer, leaf, item in found]
        sys.stdout.write(json.dumps(header) + "\n")
        sys.stdout.flush()
        for _layer, _leaf, item in found:
            sys.stdout.buffer.write(np.ascontiguousarray(item).data)
        sys.stdout.buffer.flush()


def _found(file, budget):
    """Returns [(layer's name, variable's name or index, its h5py.Dataset)]; raises ValueError for what Keras does not
    write, and for more than `budget` bytes.
    """
    found, total = [], 0

    def visit(path, item):
        nonlocal total
        if not hasattr(item, "shape") or path.startswith(("optimizer_weights", "optimizer/")):
            return
        if item.dtype.kind not in "fiu" or item.shape is None or item.external or item.is_virtual:
            raise ValueError(f"{path[:_MAX_NAME]} is no array of numbers in this file")
        total += item.nbytes
        if total > budget or len(found) == _MAX_ARRAYS:
            raise ValueError(f"its arrays take more than {budget >> 20} MB")
        parts = path.split("/")
        name = item.parent.attrs.get("name") if parts[-2:-1] == ["vars"] else None  # .weights.h5 of Keras 3
        layer = name or parts[-2 if len(parts) > 1 else 0]
        layer = layer.decode() if isinstance(layer, bytes) else str(layer)
        found.append((layer[:_MAX_NAME], parts[-1].split(":")[0][:_MAX_NAME], item))

    file.visititems(visit)
    return found


if __name__ == "__main__":
    limited.serve(_send)
