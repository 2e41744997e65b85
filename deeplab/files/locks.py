"""One process at a time writes to a folder. The lock ends with the process, however that ends, and leaves no file."""

import contextlib
import os

from deeplab.errors import UserError


@contextlib.contextmanager
def hold(folder, flag):
    """Keeps other processes that ask from writing to `folder`, which exists, inside a `with`.

    Remote folders such as gs:// and file systems without locks are not kept.

    Raises:
      UserError: another process holds it; names `flag`.
    """
    handle = _handle(folder)
    try:
        if handle is not None and not _locked(handle):
            raise UserError(
                f"--{flag}={folder}: another process writes there now; wait for it, end it, or choose another folder"
            )
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _handle(folder):
    return None if "://" in folder or not os.path.isdir(folder) else os.open(folder, os.O_RDONLY)


def _locked(handle):
    try:
        import fcntl  # not on every platform
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system without locks
        return True
    return True
