"""Runs a part of this package in a process of its own, with limits of memory and time.

Libraries in C and C++ believe what damaged or crafted files say: they end the process with a signal, or ask for any
amount of memory. Where such a library has to open a file that this project did not write, it does so in a child
process first, whose end costs one line. Imports no TensorFlow, so that a child without it starts in a moment.

The limit of memory holds on Linux. The child is no prison: code that a file contains could do there what the user may.
"""

import os
import signal
import subprocess
import sys
import tempfile

from deeplab.errors import one_line
from deeplab.files import paths

_REFUSED = 3  # exit code of a child that says in its last line why
_MB = 1 << 20


class Failed(Exception):
    """The child did not do its work. The message says why, in a few words."""


def run(module, arguments, memory, seconds, output=None):
    """Runs `python -m MODULE` as a child, which calls `serve`.

    Args:
      module: its name, such as "deeplab.checkpoints.hdf5".
      arguments: texts.
      memory: how many bytes the child may hold. Python needs 10 MB of them, NumPy with h5py 100 MB.
      seconds: after so many seconds, the child is ended.
      output: an open file that gets what the child prints; None throws that away.

    Raises:
      Failed: the child refused, needed more memory or time, or was ended by a signal.
    """
    above = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    searched = os.pathsep.join(filter(None, (above, os.environ.get("PYTHONPATH"))))
    single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")  # each thread would reserve memory
    environment = {**os.environ, **single, "PYTHONPATH": searched, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", module, str(int(memory)), str(int(seconds)), *arguments]
    target = subprocess.DEVNULL if output is None else output
    with tempfile.TemporaryFile() as messages:
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=target, stderr=messages, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"reading it takes more than {seconds} seconds") from None
        if done.returncode:
            raise Failed(_reason(done.returncode, messages, memory))


def _reason(code, messages, memory):
    """Returns in words why a child ended with `code`."""
    size = messages.seek(0, os.SEEK_END)
    messages.seek(max(0, size - 1000))
    lines = messages.read().decode("utf-8", "replace").splitlines()
    if code == _REFUSED and lines:
        return lines[-1][-300:]
    ended = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
    return f"the library that reads it ended with {ended}, in {int(memory) // _MB} MB of memory"


def serve(function):
    """Calls `function(*arguments)` in the child that `run` started, under its limits, and ends the child.

    An exception becomes the line that `run` tells.
    """
    memory, seconds, *arguments = sys.argv[1:]
    _limit(int(memory), int(seconds))
    try:
        function(*arguments)
        sys.stdout.flush()
    except MemoryError:
        _refuse(f"reading it takes more than {int(memory) // _MB} MB of memory")
    except Exception as error:
        _refuse(one_line(error) or type(error).__name__)
    os._exit(0)  # libraries may fail while they are taken down, which concerns nobody


def _refuse(reason):
    sys.stderr.write(f"\n{reason}\n")
    sys.stderr.flush()
    os._exit(_REFUSED)


def _limit(memory, seconds):
    """Limits this process to so many bytes and seconds of computing, and forbids it to leave a dump of its memory."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; time is limited there nevertheless
        return
    limits = {resource.RLIMIT_DATA: memory, resource.RLIMIT_CPU: 4 * seconds, resource.RLIMIT_CORE: 0}
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, hard))


def local_copy(path, folder):
    """Returns the path of a file on this machine: `path` itself, or a copy in `folder` of a file in a bucket."""
    if not paths.is_remote(path):
        return path
    copy = os.path.join(folder, "copy")
    with open(copy, "wb") as file:
        file.write(paths.read(path))
    return copy
