"""What a part tells the driver: rows, as lines of JSON in a pipe. Imports nothing but the standard library.

The process of PyTorch uses this module, too, and has neither TensorFlow nor this project.
"""

import json
import math
import os
import time

PIPE = "GPU_CHECK_PIPE"  # environment variable: the number of the pipe; without it rows are printed
SECONDS = "GPU_CHECK_SECONDS"  # environment variable: how long this process may run
_BEGUN = time.monotonic()


def send(name, ok=None, **figures):
    """Sends one result at once, so that it is kept if the process is stopped later.

    Args:
      name: what was checked or measured.
      ok: True or False for something that is right or wrong; None for a figure that nothing judges.
      **figures: {name with its unit: number or text}. "skipped" gives the reason why nothing was done.
    """
    judged = None if ok is None else bool(ok)  # NumPy's bool is none of JSON's
    line = json.dumps({"name": name, "ok": judged, **{key: _plain(value) for key, value in figures.items()}}) + "\n"
    if PIPE in os.environ:
        os.write(int(os.environ[PIPE]), line.encode())
    else:
        print(line, end="", flush=True)


def seconds_left():
    """Returns the seconds until the driver stops this process."""
    return float(os.environ.get(SECONDS, "inf")) - (time.monotonic() - _BEGUN)


def text(row):
    """Returns the figures of a row for a reader."""
    return "  ".join(f"{key} {_short(value)}" for key, value in row.items() if key not in ("name", "ok"))


def _plain(value):
    """Returns a value that JSON has: numbers of NumPy become Python's, and what is not finite becomes text."""
    if isinstance(value, (str, bool, type(None))):
        return value
    number = float(value)
    if not math.isfinite(number):
        return str(number)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
