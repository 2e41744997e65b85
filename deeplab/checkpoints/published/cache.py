"""The folder that keeps fetched weights: DEEPLAB_CACHE, or deeplab in XDG_CACHE_HOME, or ~/.cache/deeplab.

Beside every file lies a record, FILE.json, with the sha256 of what was downloaded first. Each process computes it again
before it uses the file, which takes 0.3 to 0.8 s for 440 MB, so that a file that was altered is never used. A file that
a person put there, on a machine without network, gets its record then. Imports no TensorFlow.
"""

import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import urllib.parse
import zlib

from deeplab.checkpoints.published import addresses, download
from deeplab.errors import UserError, one_line
from deeplab.files import escaping, formats, locks, paths

CACHE = "DEEPLAB_CACHE"  # environment variable
RECORD = formats.Kind(
    "the record of a file that was downloaded",
    "remove it and the file beside it; the next run downloads both",
    needed=("address", "size"),
    others=("sha256", "validator"),
    types={"address": str, "size": (None, int), "sha256": str, "validator": (None, str)},
    most=1 << 16,
)
_UNFINISHED = ".part"
_GZIPPED = (".tar.gz", ".tgz")
_CHUNK = 1 << 20  # bytes
_MAX_UNPACKED = 8 << 30  # bytes that are unpacked to check them; a larger archive is refused later
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_hashed: dict[str, tuple[tuple, str]] = {}  # file: its `paths.stamp` and its sha256, of this process


def folder():
    """Returns the path of the cache, which need not exist.

    Raises:
      UserError: DEEPLAB_CACHE is an address.
    """
    own, shared = os.environ.get(CACHE), os.environ.get("XDG_CACHE_HOME", "")
    if own and paths.is_remote(own):
        raise UserError(f"{CACHE}={own}: expected a folder of this machine")
    if not own:  # the specification of XDG has relative paths ignored
        own = os.path.join(shared if os.path.isabs(shared) else "~/.cache", "deeplab")
    return os.path.abspath(os.path.expanduser(own))


def place_of(source):
    """Returns the path at which the cache keeps the file of a `Source`, whether it is there or not."""
    return os.path.join(folder(), source.file)


def local(path):
    """Returns the path of this machine, or one that TensorFlow reads, that stands for `path`.

    Args:
      path: anything that names weights. What begins with preset:, https:// or http:// is fetched into the cache unless
        it is there; other paths are returned as they are.

    Raises:
      UserError: no such name; it cannot be fetched; what the cache holds was altered.
    """
    source = addresses.of(os.fspath(path))
    return os.fspath(path) if source is None else fetched(source)


def fetched(source):
    """Returns the path of the file of a `Source`, which is downloaded unless the cache holds it. Raises as `local`."""
    place = place_of(source)
    if not os.path.isfile(place):
        _fetch(source, place)
    _verify(source, place)
    return place


def sha256(path):
    """Returns the digest of a file of this machine, computed once per process unless the file changes meanwhile."""
    stamp = paths.stamp(path)
    if path not in _hashed or _hashed[path][0] != stamp:
        _hashed[path] = stamp, _digest(path, "sha256")
    return _hashed[path][1]


def origin(path):
    """Returns where fetched or published weights come from, for config.json and model.json; None for other weights.

    Args:
      path: what the user calls the weights. If they have to be fetched, they were.

    Returns:
      {"name", "address", "sha256", "licence", "trained_on"}; the last two are None if nobody knows them.
    """
    source = addresses.of(path)
    if source is None:
        published = addresses.files.of_archive(path.rpartition("/")[2])
        if published is None or not os.path.isfile(path):
            return None
        source, place = addresses.of_published(published), path
    else:
        place = place_of(source)
    published, parts = source.published, urllib.parse.urlsplit(source.address)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()  # without passwords
    return {
        "name": source.name,
        "address": shown,
        "sha256": sha256(place),
        **(published.terms if published else {"licence": None, "trained_on": None}),
    }


def _say(sentence):
    print(escaping.terminal(sentence), flush=True)


def _fetch(source, place):
    """Downloads the file of a `Source`; one process at a time, the others wait and find it."""
    waits = f"Another process downloads {place}; waiting for it"
    with _told(source, place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with locks.appending(place + _UNFINISHED, lambda: _say(waits)) as file, _tidying(place):
            if os.path.isfile(place):  # another process was faster
                os.remove(place + _UNFINISHED)
                return
            part = _Part(place + _UNFINISHED, file, source)
            kept = f", of which {part.size} bytes are here" if part.size else ""
            _say(f"Downloading {source.address} to {place}{kept}")
            download.complete(source.address, part, _say)
            os.fsync(file.fileno())
            _refuse_damaged(source, part)
            os.replace(part.path, place)
    _record(place, {"address": source.address, "size": part.size, "sha256": sha256(place)})
    _say(f"{place}: {part.size} bytes, sha256 {sha256(place)}")
    if source.published:
        _say(source.published.told)


@contextlib.contextmanager
def _told(source, place):
    """Turns what can go wrong with a download into one line that says the way out."""
    known = source.path if source.path == source.address else f"{source.path} ({source.address})"
    try:
        yield
    except download.Failed as error:
        way = f"try again later, or put the file at {place}"
        raise UserError(f"{known} cannot be fetched: {error}; {way}") from None
    except OSError as error:
        way = f"{CACHE} names another folder"
        if error.errno in _FULL:
            raise UserError(f"{known}: the disk of {os.path.dirname(place)} is full; {way}") from None
        reason = one_line(error.strerror or error, 200)
        raise UserError(f"{known}: {place} cannot be written ({reason}); {way}") from None


@contextlib.contextmanager
def _tidying(place):
    """Keeps the part that an interrupted download left, unless it is empty or the disk is full; ends its record."""
    rests = (place + _UNFINISHED, f"{place}{_UNFINISHED}.json")
    try:
        yield
        _remove(rests[1])
    except BaseException as error:
        is_full = isinstance(error, OSError) and error.errno in _FULL
        if is_full or not (os.path.isfile(rests[0]) and os.path.getsize(rests[0])):
            _remove(*rests)
        raise


def _remove(*found):
    for path in found:
        with contextlib.suppress(OSError):
            os.remove(path)


class _Part:
    """What is there of a file, and the record of it; see `download.Part`."""

    def __init__(self, path, file, source):
        self.path, self._file, self._address = path, file, source.address
        self.size = os.path.getsize(path)
        self.total, self.validator = None, None
        if self.size:
            try:
                known = RECORD.read(path + ".json")
            except UserError:
                known = {"address": None}
            if known["address"] != self._address:  # another mirror may have another file
                self._empty()
            else:
                self.total, self.validator = known["size"], known.get("validator")
                if self.total is not None and self.size > self.total:
                    self._empty()

    def restart(self, total, validator):
        self._empty()
        self.total, self.validator = total, validator
        free = shutil.disk_usage(os.path.dirname(self.path)).free
        if total is not None and total > free:
            raise OSError(errno.ENOSPC, "No space left on device", self.path)
        _record(self.path, {"address": self._address, "size": total, "validator": validator})

    def append(self, content):
        self._file.write(content)
        self._file.flush()
        self.size += len(content)

    def _empty(self):
        self._file.truncate(0)
        self.size, self.total, self.validator = 0, None, None


def _refuse_damaged(source, part):
    """Removes a file that was downloaded whole, but is not what it should be, and raises `download.Failed`."""
    reason = _damage(source, part.path)
    if reason:
        os.remove(part.path)
        raise download.Failed(f"{reason}, so it was removed")


def _damage(source, path):
    """Returns in words what is wrong with the file of a `Source`, or ""."""
    digest = source.published and source.published.digest
    if digest:
        algorithm, _, expected = digest.partition(":")
        if _digest(path, algorithm) != expected:
            return f"its {algorithm} is not the one that is known for {source.published.archive}"
    if not source.file.endswith(_GZIPPED):
        return ""
    with open(path, "rb") as file:
        if not download.is_gzip(file.read(2)):
            return "what came is no archive"
    unpacked = 0
    try:
        with gzip.open(path) as content:  # which compares checksum and length at the end
            while unpacked < _MAX_UNPACKED and (chunk := content.read(_CHUNK)):
                unpacked += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"what came is damaged ({one_line(error, 100)})"
    return ""


def _verify(source, place):
    """Refuses a file of the cache that is not the one that was downloaded; writes the record if there is none."""
    if os.path.exists(place + ".json"):
        record = RECORD.read(place + ".json")
        if sha256(place) != record.get("sha256"):
            raise UserError(
                f"{place}: altered since it was downloaded (sha256 {sha256(place)}, it was {record.get('sha256')}); "
                "remove it, and the next run downloads it again"
            )
        return
    reason = _damage(source, place)
    if reason:
        raise UserError(f"{place}: {reason}; remove it, and the next run downloads it")
    content = {"address": source.address, "size": os.path.getsize(place), "sha256": sha256(place)}
    with contextlib.suppress(OSError):  # a cache that several machines share may be read-only
        _record(place, content)
    _say(f"Found {place}, sha256 {content['sha256']}")


def _record(path, content):
    """Writes the record of a file in one piece."""
    unfinished = f"{path}.json.{os.getpid()}"
    try:
        with open(unfinished, "w", encoding="utf-8") as file:
            file.write(RECORD.text(content))
        os.replace(unfinished, path + ".json")
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        raise


def _digest(path, algorithm):
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        while content := file.read(_CHUNK):
            digest.update(content)
    return digest.hexdigest()
