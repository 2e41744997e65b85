"""Unpacks the published archives, and trusts no path and no size in them."""

import contextlib
import os
import shutil
import tarfile
import tempfile
import zlib

import tensorflow as tf

from deeplab.errors import UserError

SUFFIXES = (".tar.gz", ".tgz", ".tar")
MAX_BYTES = 8 << 30  # unpacked; the largest published archive has 0.7 GB
MAX_MEMBERS = 10_000
_WANTED = (".index", ".pb", ".tflite", "checkpoint")  # ends of the names that are unpacked, beside *.data-*


@contextlib.contextmanager
def unpacked(path):
    """Yields a temporary folder with the checkpoints and graphs of the archive `path`; it is removed afterwards.

    Raises:
      UserError: the archive is damaged or too large, or a member is unsafe: an absolute path, a path with `..`, a link
        or a device.
    """
    with tempfile.TemporaryDirectory(prefix="deeplab-") as folder:
        try:
            with tf.io.gfile.GFile(path, "rb") as file, tarfile.open(fileobj=file, mode="r:*") as tar:
                _unpack(tar, folder, path)
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: damaged archive ({reason}); download it again") from None
        yield folder


def _unpack(tar, folder, path):
    """Unpacks what weights can be read from; sizes are checked before a member is written."""
    total = 0
    for count, member in enumerate(tar, 1):
        total += member.size
        if count > MAX_MEMBERS or total > MAX_BYTES:
            raise UserError(f"{path}: refused, more than {MAX_MEMBERS} members or {MAX_BYTES >> 30} GB")
        _refuse_unsafe(member, path)
        base = member.name.rsplit("/", 1)[-1]
        if member.isfile() and not base.startswith(".") and (base.endswith(_WANTED) or ".data-" in base):
            target = os.path.join(folder, os.path.normpath(member.name))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with tar.extractfile(member) as content, open(target, "wb") as copy:
                shutil.copyfileobj(content, copy)


def _refuse_unsafe(member, path):
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise UserError(f"{path}: refused, its member {member.name!r} points outside the archive")
    if not (member.isfile() or member.isdir()):
        raise UserError(f"{path}: refused, its member {member.name!r} is a link or device")
