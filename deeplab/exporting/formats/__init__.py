"""The kinds of files that export writes: one module each, all with the same two functions.

`write(folder, exported)` writes an `Exported` into a folder, and `reader(folder, exported)` returns a function
images (1, H, W, 3) uint8 -> labels (1, H, W) that runs what was written in its own runtime, or raises whatever that
runtime raises. All but SavedModel and frozen graph take images of one size.
"""

import importlib
from typing import NamedTuple

from deeplab.errors import UserError


class Exported(NamedTuple):
    """What is written."""

    predictor: object  # inference.Predictor of the (folded) network
    config: object  # ExportConfig
    loaded: object  # trained.Trained that the network comes from
    size: tuple  # (height, width) of the images of formats that take one size


def module(name):
    """Returns the module of the format `name`."""
    return importlib.import_module(f"deeplab.exporting.formats.{name}")


def need(package, purpose):
    """Returns an imported module of the extra `export`; raises a UserError that names the extra if it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(f'{purpose} needs the extra `export`: pip install ".[export]" ({error})') from None
