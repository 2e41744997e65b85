"""Files that are there whole or not at all. Paths may be gs://."""

UNFINISHED = "unfinished-"  # begins the names of files that are being written


def aside(path):
    """Returns where the file `path` is to be written until it is finished: beside it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{UNFINISHED}{name}" if folder or path.startswith("/") else UNFINISHED + name


def write(path, content):
    """Writes text or bytes in one piece: readers, and whoever comes after a crash, never see half of it."""
    import tensorflow as tf

    with tf.io.gfile.GFile(aside(path), "w" if isinstance(content, str) else "wb") as file:
        file.write(content)
    tf.io.gfile.rename(aside(path), path, overwrite=True)
