"""Runs the parts one after the other, every part in processes of its own that are stopped at their limit.

A part that hangs or crashes therefore costs no more than its limit, and nothing that another part has found.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

from gpu_check import rows
from gpu_check.comparison import compared
from gpu_check.parts import PARTS, TORCH
from gpu_check.results import Results

EXIT_NO_GPU = 3  # of a part's process, see `work`
_NO_GPU = 2  # exit code of the check
_FOLDER = os.path.dirname(os.path.abspath(__file__))


def run(options, arguments):
    """Runs the parts that `options`, an `Options`, names; `arguments` is its command line. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that a part does not stay behind
    end = time.monotonic() + options.seconds
    results = Results(options)
    for name in options.parts:
        limit = options.limit(name)
        left = end - time.monotonic()
        if left < 1:
            results.leave_out(name, f"the {options.seconds:g} s of --seconds are over")
            continue
        with results.part(name, limit):
            waiting = list(PARTS[name].processes)
            while waiting:
                seconds = min(limit, (end - time.monotonic()) / len(waiting))  # each gets a share of what is left
                if _run(name, waiting.pop(0), seconds, options, arguments, results) == EXIT_NO_GPU:
                    results.end("no GPU", results.last_line_of_log())
                    break
            for row in compared(results.rows):
                results.add(row)
        if results.state == "no GPU":
            reason = f"no GPU here ({results.last_line_of_log()})"
            print(f"error: {reason}; bash scripts/gpu_check.sh --quick runs every part on a CPU", file=sys.stderr)
            return _NO_GPU
    return results.finish()


def _run(part, process, seconds, options, arguments, results):
    """Runs one process of a part and adds its rows to `results`; returns its exit code, None if it was stopped."""
    seconds = max(1.0, seconds)
    read, write = os.pipe()
    environment = _for_torch(options) if process == TORCH else _for_us()
    environment |= {rows.PIPE: str(write), rows.SECONDS: str(seconds)}
    with open(results.log(part), "a", encoding="utf-8") as log:
        child = subprocess.Popen(
            _command(part, process, options, arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(write,),
            start_new_session=True,
        )
        os.close(write)
        reader = threading.Thread(target=_read, args=(read, results), daemon=True)
        reader.start()
        code = None
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            results.end("stopped", f"a process reached its limit of {seconds:.0f} s (--limit={part}:SECONDS)")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # the process, and what it may have left behind
            child.wait()
            reader.join(5)
    if code not in (0, EXIT_NO_GPU, None):
        results.end("failed", f"exit code {code}: {results.last_line_of_log()}")
    return code


def _command(part, process, options, arguments):
    if process == TORCH:
        how = {"network": options.benchmark_network, "quick": options.quick, **options.sizes._asdict()}
        how["what"] = part
        return [options.torch_python or sys.executable, f"{_FOLDER}/torch_peer.py", json.dumps(how)]
    return [sys.executable, "-m", "gpu_check.work", process, *arguments, f"--output={options.output}"]


def _for_us():
    """Returns the environment of our processes. Memory that grows leaves room for the processes that a part starts."""
    return {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_CPP_MIN_LOG_LEVEL": "1", **os.environ, "PYTHONUNBUFFERED": "1"}


def _for_torch(options):
    """Returns the environment of PyTorch, without the libraries and paths that were set up for TensorFlow."""
    removed = ("PYTHONPATH", "LD_LIBRARY_PATH", "XLA_FLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    given = {"PYTHONPATH": options.torch_path, "LD_LIBRARY_PATH": options.torch_libraries}
    return {**environment, **{name: value for name, value in given.items() if value}, "PYTHONUNBUFFERED": "1"}


def _read(pipe, results):
    with os.fdopen(pipe, encoding="utf-8") as lines:
        for line in lines:
            results.add(json.loads(line))
