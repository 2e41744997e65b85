"""The progress bar of every program."""

import sys

import tqdm


def show(total, unit, description=None):
    """Returns a tqdm bar to use in a `with`; nothing is printed unless stderr is a terminal.

    Args:
      total: number of steps; None where it is not known.
      unit: what one step is, e.g. "image".
      description: text before the bar, e.g. the name of a split.
    """
    return tqdm.tqdm(total=total, unit=unit, desc=description, disable=None, dynamic_ncols=True)


def note(line):
    """Prints a note to stderr, above the bars that are shown."""
    tqdm.tqdm.write(f"note: {line}", file=sys.stderr)
