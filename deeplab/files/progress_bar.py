"""The progress bar of every program."""

import contextlib
import sys
import time

import tqdm

_MOMENTS: list[list[float]] = []  # the lists of all `observed` blocks


def show(total, unit, description=None):
    """Returns a tqdm bar to use in a `with`; nothing is printed unless stderr is a terminal.

    Args:
      total: number of steps; None where it is not known.
      unit: what one step is, e.g. "image".
      description: text before the bar, e.g. the name of a split.
    """
    return _Bar(total=total, unit=unit, desc=description, disable=None, dynamic_ncols=True)


class _Bar(tqdm.tqdm):
    def update(self, n=1):
        for moments in _MOMENTS:
            moments.extend([time.perf_counter()] * n)
        return super().update(n)


@contextlib.contextmanager
def observed():
    """Gives a list for a `with` block, to which every bar adds the `time.perf_counter()` of each of its steps."""
    moments = []
    _MOMENTS.append(moments)
    try:
        yield moments
    finally:
        _MOMENTS[:] = [other for other in _MOMENTS if other is not moments]


def note(line):
    """Prints a note to stderr, above the bars that are shown."""
    tqdm.tqdm.write(f"note: {line}", file=sys.stderr)
