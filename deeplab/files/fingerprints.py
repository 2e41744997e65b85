"""Sizes and SHA-256 of the files of a folder, by which a damaged or half copied folder is noticed.

They tell whether files are as they were written, not who wrote them. TensorFlow is imported for files in buckets only.
"""

import hashlib

from deeplab.files import paths

_CHUNK = 1 << 20  # bytes
SIZE, HASH = "bytes", "sha256"


def of(folder, without=()):
    """Returns {path below the folder, with "/": {"bytes": size, "sha256": hexadecimal digits}} of its files.

    Args:
      folder: local or remote.
      without: paths to leave out.
    """
    found = {}
    for directory, _folders, names in paths.walk(folder):
        below = directory[len(folder) :].strip("/")
        for name in (f"{below}/{name}".lstrip("/") for name in names):
            if name not in without:
                found[name] = _of_file(f"{folder}/{name}")
    return dict(sorted(found.items()))


def difference(folder, recorded):
    """Returns in a few words how the files of a folder differ from what `of` returned for it; "" if they do not.

    Files that were not recorded do not count.

    Raises:
      OSError: a file cannot be read.
    """
    for name, expected in recorded.items():
        path = f"{folder}/{name}"
        if not paths.exists(path) or paths.is_folder(path):
            return f"{name} is missing"
        given = _of_file(path)
        if given[SIZE] != expected[SIZE]:
            return f"{name} has {given[SIZE]} bytes in place of {expected[SIZE]}"
        if given[HASH] != expected[HASH]:
            return f"{name} has another content"
    return ""


def _of_file(path):
    digest, size = hashlib.sha256(), 0
    with paths.open_bytes(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {SIZE: size, HASH: digest.hexdigest()}
