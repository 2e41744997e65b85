"""Which files belong to a folder, so that a copy is known to be whole: their sizes and hashes. Paths may be gs://."""

import hashlib
import os
import re
import time
from typing import Any

import tensorflow as tf

SIZE, HASH = "size", "sha256"  # keys of the description of a file
_BLOCK = 1 << 20  # bytes that are read at a time
_QUIET_SECS = 2.0  # a folder in which nothing changed for so long is not being copied


def describe(folder: str, leave_out: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Returns {path in the folder: {"size": bytes, "sha256": hexadecimal digits}} of its files, sorted by path.

    Args:
      folder: the folder, whose folders are searched, too.
      leave_out: paths in it that are left out.
    """
    names = [name for name in _names(folder) if name not in leave_out]
    return {name: {SIZE: _size(folder, name), HASH: _sha256(folder, name)} for name in names}


def difference(folder: str, files: Any, hashes: bool = False) -> str:
    """Returns in words how a folder differs from what `describe` returned, or "" if no described file differs.

    Args:
      folder: the folder; files that are not described may be there, too.
      files: what `describe` returned, from a file that may be damaged.
      hashes: whether the files are read and their hashes compared, and not their sizes alone.
    """
    try:
        described = [(str(name), int(entry[SIZE]), str(entry[HASH])) for name, entry in files.items()]
    except (AttributeError, KeyError, TypeError, ValueError):
        return "the record of its files is damaged"
    for name, size, digest in described:
        if name.startswith("/") or ".." in name.split("/"):
            return f"the record of its files names {name[:80]!r}, which is not in the folder"
        found = _size(folder, name)
        if found is None:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes in place of {size}"
        if hashes and _sha256(folder, name) != digest:
            return f"{name} has other contents than those that were written (sha256)"
    return ""


def lacking_part(folder: str) -> str:
    """Returns the first file of a TensorFlow checkpoint in a folder that has to be there beside the others, or ""."""
    names = set(tf.io.gfile.listdir(folder)) if tf.io.gfile.isdir(folder) else set()
    parts = [found for name in sorted(names) if (found := re.fullmatch(r"(.+)\.data-\d{5}-of-(\d{5})", name))]
    needed = [f"{name.removesuffix('.index')}.data-00000-of-00001" for name in names if name.endswith(".index")]
    if parts:
        base, number = parts[0].groups()
        needed = [f"{base}.index", *(f"{base}.data-{i:05}-of-{number}" for i in range(int(number)))]
    return next((name for name in needed if name not in names), "")


def stamp(folder: str) -> tuple:
    """Returns a value that changes when a file of the folder is added, removed, replaced or written to."""
    found: list[tuple] = []
    for name in _names(folder):
        path = tf.io.gfile.join(folder, name)
        try:
            if os.path.exists(path):  # TensorFlow gives the time of a local file in whole seconds
                local = os.stat(path)
                found.append((name, local.st_size, local.st_mtime_ns, local.st_ino))
            else:
                remote = tf.io.gfile.stat(path)
                found.append((name, remote.length, remote.mtime_nsec))
        except (OSError, tf.errors.OpError):  # it was removed just now
            continue
    return tuple(found)


class Quiet:
    """Tells whether nothing changes in a folder any more. It remembers what it saw at former looks."""

    def __init__(self):
        self._seen = {}  # {folder: (stamp, when it was seen first)}

    def is_quiet(self, folder: str) -> bool:
        """Tells whether nothing changed for two seconds, by the times of the files or by what was seen before.

        Where the times of files cannot be trusted (another clock, a copy that keeps times), two looks decide.
        """
        seen, now = stamp(folder), time.monotonic()
        before, since = self._seen.get(folder, (None, now))
        if before != seen:
            self._seen[folder] = seen, now
            since = now
        return now - since >= _QUIET_SECS or _changed_before(folder, time.time() - _QUIET_SECS)


def _changed_before(folder, moment):
    """Tells whether everything in a local folder was changed last before `moment`; False if the folder is remote."""
    if not os.path.isdir(folder):
        return False
    paths = [folder, *(os.path.join(at, name) for at, inner, files in os.walk(folder) for name in (*inner, *files))]
    try:
        return all(os.lstat(path).st_ctime < moment for path in paths)  # copies cannot set this time
    except OSError:
        return False


def _names(folder):
    """Returns the paths of all files in a folder, relative to it, sorted."""
    names = []
    for at, _inner, files in tf.io.gfile.walk(folder):
        inside = at[len(folder) :].strip("/")
        names += [f"{inside}/{name}" if inside else name for name in files]
    return sorted(names)


def _size(folder, name):
    """Returns the bytes of a file; None if there is no such file."""
    try:
        status = tf.io.gfile.stat(tf.io.gfile.join(folder, name))
    except tf.errors.OpError:
        return None
    return None if status.is_directory else status.length


def _sha256(folder, name):
    digest = hashlib.sha256()
    with tf.io.gfile.GFile(tf.io.gfile.join(folder, name), "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
