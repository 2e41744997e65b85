"""Whether a folder that does not exist yet could be made, and whether there is room for what goes into it."""

import os
import shutil

from deeplab.errors import UserError
from deeplab.files import paths

_UNITS = ((2**30, "GB"), (2**20, "MB"), (2**10, "KB"))


def require(folder, flag, needed):
    """Returns in words how much room a folder has for `needed` bytes; writes nothing, and makes no folder.

    Args:
      folder: where files shall go. It need not exist.
      flag: the option that names it, for messages.
      needed: bytes of these files.

    Raises:
      UserError: the folder cannot be made or written to, or its disk has less room.
    """
    if paths.is_remote(folder):
        return f"about {size_text(needed)} for {folder}, whose room is not known"
    above = _nearest(folder)
    if not os.path.isdir(above):
        raise UserError(f"--{flag}={folder}: {above} is a file, not a folder; choose another folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UserError(f"--{flag}={folder}: {above} cannot be written to; choose another folder, or change its rights")
    free = shutil.disk_usage(above).free
    if free < needed:
        raise UserError(
            f"--{flag}={folder}: needs about {size_text(needed)}, its disk has {size_text(free)} left; make room, or "
            "choose a folder on another disk"
        )
    return f"about {size_text(needed)} of the {size_text(free)} that are left on the disk of {folder}"


def size_text(count):
    """Returns a number of bytes with a unit, such as 1.5 MB."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _nearest(folder):
    """Returns the folder itself or the nearest one above it that exists."""
    folder = os.path.abspath(folder)
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return folder
