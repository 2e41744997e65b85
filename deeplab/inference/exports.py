"""The folder that exports are written to and found in: DIR/1, DIR/2 and so on, as TensorFlow Serving wants it."""

from typing import NamedTuple


class Export(NamedTuple):
    """A SavedModel: where it lies, and its number."""

    path: str
    version: int


def versions(folder):
    """Returns the version numbers in a folder, oldest first; [] where it is missing."""
    import tensorflow as tf

    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)] if tf.io.gfile.isdir(folder) else []
    return sorted(int(name) for name in names if name.isdecimal())


def newest(folder):
    """Returns the newest `Export` in an --export_path, or the one that the folder itself is; None: there is none.

    A version without saved_model.pb, such as one that is being copied, is none.
    """
    import tensorflow as tf

    folder = folder.rstrip("/") or "/"
    name = folder.rpartition("/")[2]
    itself = Export(folder, int(name) if name.isdecimal() else 1)
    numbered = (Export(tf.io.gfile.join(folder, str(version)), version) for version in reversed(versions(folder)))
    for export in (itself, *numbered):
        if tf.io.gfile.exists(tf.io.gfile.join(export.path, "saved_model.pb")):
            return export
    return None


def next_path(folder):
    """Makes the folder and returns the path of the first version above those in it, from 1."""
    import tensorflow as tf

    tf.io.gfile.makedirs(folder)
    return tf.io.gfile.join(folder.rstrip("/") or "/", str(max(versions(folder), default=0) + 1))
