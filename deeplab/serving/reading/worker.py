"""A process that decodes images and parses requests for the server, one at a time, and may be ended at any moment.

It holds no TensorFlow, so that it starts in a fraction of a second. Its memory and its time are limited by the system:
what asks for more than its bytes may cost ends this process alone. `workers` starts it and talks to it.
"""

import contextlib
import ctypes
import gc
import resource
import signal
import socket
import sys

import numpy as np

from deeplab.errors import UserError
from deeplab.pictures import images
from deeplab.serving.reading import contract, frames

_LARGE = 4 << 20  # bytes of a task after which freed memory is given back to the system


def main():
    """Does what comes over the socket whose number is the first argument, until the other side closes it.

    The further arguments are the bytes of memory that tasks may take, and the seconds of processor time of one task.
    """
    number, memory, seconds = (int(argument) for argument in sys.argv[1:])
    connection = socket.socket(fileno=number)
    _limit_memory(memory)
    gc.disable()  # lists of numbers hold no cycles, and looking for some takes as long as to read the numbers
    try:
        while True:
            _do_one(connection, seconds)
    except (EOFError, OSError):
        return
    except MemoryError:  # outside of a task: the task itself does not fit
        signal.raise_signal(signal.SIGKILL)


def _do_one(connection, seconds):
    facts, buffers = frames.receive(connection)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF ends the process, inside of any library
    answer = _answer(facts, buffers)
    signal.setitimer(signal.ITIMER_PROF, 0)
    frames.send(connection, *answer)
    if len(buffers[0]) + sum(memoryview(buffer).nbytes for buffer in answer[1]) > _LARGE:
        del buffers, answer
        _give_back()


def _answer(facts, buffers):
    """Returns the (facts, buffers) that answer a task, or {"error": message, "status": HTTP status}."""
    try:
        return {"decode": _decode, "parse": _parse}[facts["do"]](facts, buffers[0])
    except UserError as error:
        return {"error": str(error), "status": getattr(error, "status", 400)}, []
    except MemoryError:
        return {"error": "It takes more memory to read than the server gives to one request", "status": 413}, []


def _decode(facts, content):
    pixels = images.decode(bytes(content), facts["name"], facts["max_pixels"])
    return {"shape": pixels.shape}, [np.ascontiguousarray(pixels)]


def _parse(facts, body):
    request = contract.parse(body, facts["signatures"], facts["max_images"])
    described, buffers = {}, []
    for key, array in request.inputs.items():
        texts = array.dtype == np.dtype(object)
        described[key] = {"type": array.dtype.name, "shape": array.shape}
        if texts:
            described[key]["lengths"] = [len(text) for text in array.reshape(-1)]
        buffers.append(b"".join(array.reshape(-1)) if texts else np.ascontiguousarray(array).reshape(-1))
    return {**request._asdict(), "inputs": described}, buffers


def parsed(facts, buffers):
    """Returns the `contract.Request` in the answer of a worker to a "parse"."""
    inputs = {}
    for (key, described), buffer in zip(facts["inputs"].items(), buffers, strict=True):
        if "lengths" in described:
            ends = np.cumsum(described["lengths"])
            array = np.empty(len(ends), object)
            for i, (end, length) in enumerate(zip(ends, described["lengths"], strict=True)):
                array[i] = bytes(buffer[end - length : end])
        else:
            array = np.frombuffer(buffer, contract.type_of(described["type"]))
        inputs[key] = array.reshape(described["shape"])
    return contract.Request(**{**facts, "inputs": inputs})


def _limit_memory(size):
    """Lets the address space of this process grow by `size` bytes at most."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError, ValueError):  # a system that cannot say or limit it
        with open("/proc/self/statm") as file:
            size += int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def _give_back():
    with contextlib.suppress(AttributeError, OSError):  # the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    main()
