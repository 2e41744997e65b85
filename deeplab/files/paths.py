"""Reading files and looking at folders. Paths may be gs://; others need no TensorFlow."""

import os


def is_remote(path):
    """Tells whether only TensorFlow can open this path."""
    return "://" in path


def read(path):
    """Returns the content of a file, bytes.

    Raises:
      OSError: it cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            return file.read()
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        raise OSError(f"{path}: {error.message}") from None


def read_text(path):
    """Returns the content of a UTF-8 file; raises OSError or UnicodeDecodeError."""
    return read(path).decode("utf-8-sig")


def exists(path):
    """Tells whether there is a file or folder."""
    return _gfile().exists(path) if is_remote(path) else os.path.exists(path)


def is_folder(path):
    """Tells whether there is a folder."""
    return _gfile().isdir(path) if is_remote(path) else os.path.isdir(path)


def walk(folder):
    """Yields as `os.walk` does: (folder, names of folders, names of files), top down."""
    return _gfile().walk(folder) if is_remote(folder) else os.walk(folder)


def _gfile():
    import tensorflow as tf

    return tf.io.gfile
