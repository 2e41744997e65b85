"""Writes files and folders in one piece: they get their names when they are complete. Paths may be gs://.

What is being written lies beside its place under a name that begins with `UNFINISHED`, so that neither a reader nor
the next run after a crash takes half a file for a whole one.
"""

import contextlib

import tensorflow as tf

UNFINISHED = "unfinished-"


def aside(path):
    """Returns the path under which `path` is written until it is complete: in the same folder."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{UNFINISHED}{name}" if folder or path.startswith("/") else UNFINISHED + name


def write(path, content):
    """Writes text or bytes as the file `path`, which is replaced if it exists."""
    mode = "w" if isinstance(content, str) else "wb"
    with replacing(path) as unfinished, tf.io.gfile.GFile(unfinished, mode) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path):
    """Gives the path at which to write the file that becomes `path` at the end of the `with`.

    An existing `path` is replaced. After an error it is as it was before, and the unfinished file is removed.
    """
    unfinished = aside(path)
    try:
        yield unfinished
        tf.io.gfile.rename(unfinished, path, overwrite=True)
    except BaseException:
        _try_to_remove(unfinished)
        raise


@contextlib.contextmanager
def new_folder(path):
    """Gives the path of a folder to fill, which becomes `path` at the end of the `with`.

    The folder is not created here; what an interrupted run left in its place is removed first. After an error nothing
    is left. `path` must not exist.
    """
    path = path.rstrip("/")
    unfinished = aside(path)
    _remove(unfinished)
    try:
        yield unfinished
        tf.io.gfile.rename(unfinished, path)
    except BaseException:
        _try_to_remove(unfinished)
        raise


def _remove(path):
    """Removes a file, or a folder with all that is in it, if there is one."""
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    elif tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)


def _try_to_remove(path):
    with contextlib.suppress(tf.errors.OpError):  # the error that is on its way says what went wrong
        _remove(path)
