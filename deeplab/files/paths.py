"""Reads files and lists folders. Paths may be gs://.

TensorFlow is imported only for such paths, so that the worker processes of the builders do without it.
"""

import contextlib
import errno
import os
import stat

_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))


def is_remote(path):
    """Tells whether a path is one that only TensorFlow can open, such as gs://bucket/file."""
    return "://" in path


def schemes():
    """Returns the names of the kinds of addresses that TensorFlow reads, e.g. "gs"; plugins add others."""
    return [name for name in _tensorflow().io.gfile.get_registered_schemes() if name]


def read(path, most=None):
    """Returns the content of a file, bytes.

    Args:
      path: the file.
      most: how many bytes it may have; None stands for any number, and for things that are no files, such as a pipe.

    Raises:
      OSError: the file cannot be read, or has more bytes.
    """
    if not is_remote(path):
        if most is not None and os.path.exists(path) and not os.path.isfile(path):
            raise OSError(f"{path}: not a file")  # a device or pipe might never end, or never begin
        with open(path, "rb") as file:
            return _at_most(file.read(-1 if most is None else most + 1), most)
    tf = _tensorflow()
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return _at_most(file.read(-1 if most is None else most + 1), most)
    except tf.errors.OpError as error:
        raise OSError(f"{path}: {error.message}") from None


def open_regular(path):
    """Opens a file to read its bytes, as a context manager; never waits for another process.

    Raises:
      OSError: a local file cannot be opened, or is no regular file but a FIFO, a socket, a device or a folder, of which
        a FIFO would wait for somebody who writes to it. Errors of remote files are TensorFlow's.
    """
    if is_remote(path):
        return _tensorflow().io.gfile.GFile(path, "rb")
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
            raise OSError(errno.EINVAL, f"{kind}, not a regular file", path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path):
    """Returns the content of a file that was found in a folder, bytes; raises OSError as `read` and `open_regular`."""
    if is_remote(path):
        return read(path)
    with open_regular(path) as file:
        return file.read()


def _at_most(content, most):
    if most is not None and len(content) > most:
        raise OSError(f"more than {most >> 20} MB")
    return content


def read_text(path):
    """Returns the content of a UTF-8 file; raises OSError or UnicodeDecodeError."""
    return read(path).decode("utf-8-sig")


def exists(path):
    """Tells whether `path` is a file or folder."""
    return _tensorflow().io.gfile.exists(path) if is_remote(path) else os.path.exists(path)


def is_folder(path):
    """Tells whether `path` is a folder."""
    return _tensorflow().io.gfile.isdir(path) if is_remote(path) else os.path.isdir(path)


def stamp(path):
    """Returns a tuple that changes when a file is written to or replaced: its size, its times and its number.

    Of a file in a bucket, TensorFlow tells the size and the time alone. Raises OSError or TensorFlow's errors.
    """
    if is_remote(path):
        remote = _tensorflow().io.gfile.stat(path)
        return remote.length, remote.mtime_nsec
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def identity(path):
    """Returns {"bytes", "modified"}, JSON: if the file is replaced by another one, these change. None: it is gone."""
    try:
        if is_remote(path):
            tf = _tensorflow()
            with contextlib.suppress(tf.errors.OpError):
                remote = tf.io.gfile.stat(path)
                return {"bytes": remote.length, "modified": remote.mtime_nsec}
        status = os.stat(path)
    except OSError:
        return {"bytes": None, "modified": None}
    return {"bytes": status.st_size, "modified": int(status.st_mtime) * 10**9}  # whole seconds, as TensorFlow gives


def listdir(folder):
    """Returns the names in a folder. TensorFlow, for folders in buckets, ends names of folders with a slash."""
    return _tensorflow().io.gfile.listdir(folder) if is_remote(folder) else os.listdir(folder)


def walk(folder):
    """Yields (folder, names of folders, names of files) from the top down, as `os.walk` does.

    Links to folders are followed, but not to a folder in which the link lies, which would never end. A folder that may
    not be searched raises an OSError, since what lies in it would be missing silently.
    """
    return _tensorflow().io.gfile.walk(folder) if is_remote(folder) else _walk_links(folder)


def _raise(error):
    raise error


def _walk_links(folder):
    above = {folder: {os.path.realpath(folder)}}  # {folder: the real folders that it is and lies in}
    for directory, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        around = above.pop(directory)
        real = {name: os.path.realpath(os.path.join(directory, name)) for name in folders}
        folders[:] = [name for name in folders if real[name] not in around]
        yield directory, folders, names
        above.update({os.path.join(directory, name): around | {real[name]} for name in folders})


def _tensorflow():
    import tensorflow as tf

    return tf
