"""Unpacks the published archives, and trusts no path and no size in them."""

import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
import zlib

import tensorflow as tf

from deeplab.errors import UserError, one_line

SUFFIXES = (".tar.gz", ".tgz", ".tar")
MAX_BYTES = 8 << 30  # of all members; the largest published archive has 0.7 GB
MAX_MEMBERS = 10_000
_WANTED = (".index", ".pb", ".tflite", "checkpoint")  # ends of the names that are unpacked, beside *.data-*
_RATIO, _BEYOND = 2, 512 << 20  # weights hardly become smaller: unpacked they have at most 2 times + 512 MB
_MAX_HEADER = 64 << 10  # bytes that are read at once for one header
_MAX_HEADERS = 1 << 20  # bytes of all headers of one member
_CHUNK = 64 << 10  # bytes
_DAMAGE = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError, IndexError)


@contextlib.contextmanager
def unpacked(path):
    """Yields a temporary folder with the checkpoints and graphs of the archive `path`; it is removed afterwards.

    Raises:
      UserError: the archive is damaged or too large, or a member is unsafe: an absolute path, a path with `..`, a link,
        a device or a file with holes.
    """
    with tempfile.TemporaryDirectory(prefix="deeplab-") as folder:
        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                _unpack(_Content(file), folder, path, file.size())
        except UserError:
            raise
        except _DAMAGE as error:
            reason = one_line(error, 200)
            raise UserError(f"{path}: damaged archive ({reason}); download it again") from None
        yield folder


class _Content:
    """The bytes of a .tar, or of what gzip made of it. Headers that ask for more memory than headers need are refused.

    `tarfile` reads a header in one piece, whatever size it states, and some kinds of headers until they say that they
    end. Other compressions than gzip are refused, since they ask for gigabytes themselves.
    """

    def __init__(self, file):
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        self._file = gzip.GzipFile(fileobj=file) if is_gzip else file
        self.headers: int | None = 0  # bytes read for headers of the present member; None while content is read

    def read(self, size=-1):
        if self.headers is not None:
            self.headers += max(size, 0)
            if not 0 <= size <= _MAX_HEADER or self.headers > _MAX_HEADERS:
                raise tarfile.ReadError("a header of a member is too large")
        return self._file.read(size)

    def seek(self, place):
        self._file.seek(place)

    def tell(self):
        return self._file.tell()


def _unpack(content, folder, path, size):
    """Unpacks what weights can be read from; sizes are checked before a member is written."""
    total = count = 0
    room = _RATIO * size + _BEYOND
    with tarfile.open(fileobj=content, mode="r:", ignore_zeros=False) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # else it keeps the headers of all members
            count, total = count + 1, total + member.size
            if count > MAX_MEMBERS or total > MAX_BYTES:
                raise UserError(f"{path}: refused, more than {MAX_MEMBERS} members or {MAX_BYTES >> 30} GB")
            _refuse_unsafe(member, path)
            base = member.name.rsplit("/", 1)[-1]
            if member.isfile() and not base.startswith(".") and (base.endswith(_WANTED) or ".data-" in base):
                room -= member.size
                _refuse_large(member, path, room, folder)
                content.headers = None
                _copy(tar, member, os.path.join(folder, os.path.normpath(member.name)))
            content.headers = 0


def _copy(tar, member, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tar.extractfile(member) as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)


def _refuse_large(member, path, room, folder):
    """Refuses a member that is larger than the archive can hold, or than the disk."""
    if room < 0:
        raise UserError(
            f"{path}: refused, its weights are more than {_RATIO} times as large as the archive; if you trust it, "
            "unpack it yourself and name the folder"
        )
    free = shutil.disk_usage(folder).free
    if member.size > free:
        place = tempfile.gettempdir()
        raise UserError(
            f"{path}: {member.name} needs {member.size >> 20} MB in {place}, which has {free >> 20} MB; set TMPDIR "
            "to a folder with more room"
        )


def _can_be_a_name(part):
    """Tells whether a file can have this name; in it, bytes that are no UTF-8 are surrogates."""
    try:
        return len(part.encode()) <= 255 and "\0" not in part
    except UnicodeEncodeError:
        return False


def _refuse_unsafe(member, path):
    parts = member.name.replace("\\", "/").split("/")
    if member.name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise UserError(f"{path}: refused, its member {member.name[:200]!r} points outside the archive")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise UserError(f"{path}: refused, its member {member.name[:200]!r} is a link, a device or a file with holes")
    if len(parts) > 100 or not all(map(_can_be_a_name, parts)):
        raise UserError(f"{path}: refused, its member {member.name[:200]!r} has a name that no file can have")
