"""Keeps other processes out of a folder: `hold` for the time of a `with`, `take` for the rest of the process.

The system keeps the lock, on a file or folder that is open. The lock ends with the process, however the process ends.
Remote folders such as gs:// and file systems without locks are left unlocked.
"""

import contextlib
import os
import time
from typing import TextIO

from deeplab.errors import UserError
from deeplab.files import paths

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_POLL_SECONDS = 0.05
_FILE = "lock"  # what `take` locks, in the folder; holds the number of the process
_taken: dict[str, TextIO] = {}  # folder: its open lock file, since closing the file would end the lock


@contextlib.contextmanager
def hold(folder, flag, wait_seconds=0):
    """Keeps other processes that ask from writing to `folder`, which exists, inside a `with`. Leaves no file.

    Raises:
      UserError: another process holds the folder, also after `wait_seconds`; names `flag`.
    """
    if paths.is_remote(folder) or not os.path.isdir(folder):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + wait_seconds
        while not _lock(handle):
            if time.monotonic() < until:
                time.sleep(_POLL_SECONDS)
                continue
            raise _refusal(f"--{flag}={folder}", "another process writes")
        yield
    finally:
        os.close(handle)


def take(folder, option, activity):
    """Keeps other processes that ask out of `folder`, which is created, until this process ends or calls `release`.

    Does nothing if this process has taken the folder before.

    Args:
      folder: where the file `lock` is written.
      option: what the folder is called in messages.
      activity: what the process does there, for the messages of other processes, e.g. "trains".

    Raises:
      UserError: another process has taken the folder; names its process id.
    """
    if paths.is_remote(folder) or folder in _taken:
        return
    os.makedirs(folder, exist_ok=True)
    file = open(os.path.join(folder, _FILE), "a+")  # noqa: SIM115  stays open
    if not _lock(file):
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise _refusal(f"{option}={folder}", f"process {owner} {activity}")
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    _taken[folder] = file


@contextlib.contextmanager
def appending(path, waiting):
    """Opens the file `path` to append bytes, and keeps other processes that ask so from it inside a `with`.

    Waits as long as another process has it; that process may rename or remove the file meanwhile, and then a new file
    is made.

    Args:
      path: the file, in a folder that exists.
      waiting: called once if there is another process to wait for.
    """
    told = False
    while True:
        with open(path, "ab") as file:
            while not _lock(file):
                if not told:
                    waiting()
                    told = True
                time.sleep(_POLL_SECONDS)
            if _is_still(file, path):
                yield file
                return


def _is_still(file, path):
    """Tells whether an open file is the one that bears the name `path` now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def refuse_taken(folder, option, activity):
    """Raises the UserError that `take` would raise, but takes nothing, writes nothing and makes no folder."""
    path = os.path.join(folder, _FILE)
    if paths.is_remote(folder) or folder in _taken or not os.path.exists(path):
        return
    with open(path) as file:
        if not _lock(file):
            raise _refusal(f"{option}={folder}", f"process {file.read().strip() or 'unknown'} {activity}")


def release(folder):
    """Gives up a folder that `take` has taken, if it has."""
    file = _taken.pop(folder, None)
    if file is not None:
        file.close()


def _lock(handle):
    """Locks an open file or folder until it is closed; returns False if another process has locked it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a network file system without locks
        return True
    return True


def _refusal(place, who):
    return UserError(f"{place}: {who} there now; wait for it, end it, or choose another folder")
