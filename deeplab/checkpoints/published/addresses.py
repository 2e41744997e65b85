"""What a path such as preset:NAME or https://host/file.tar.gz stands for. Imports no TensorFlow."""

import hashlib
import os
import urllib.parse
from typing import NamedTuple

from deeplab.config.presets import ARCHIVES
from deeplab.config.published import files
from deeplab.errors import UserError
from deeplab.files import paths

MODELS_URL = "DEEPLAB_MODELS_URL"  # environment variable: where the published archives are, for mirrors
_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".pb", ".tflite", ".h5", ".hdf5")  # of files that weights are read from


class Source(NamedTuple):
    """Weights that have to be fetched once.

    Attributes:
      path: what the user calls them.
      name: a short name without slashes, for messages and for the folder of results.
      address: where they are fetched from.
      file: the place in the cache, relative to its folder.
      published: the `PublishedFile`, or None for an address of the user.
    """

    path: str
    name: str
    address: str
    file: str
    published: files.PublishedFile | None = None


def of(path: str) -> Source | None:
    """Returns the `Source` of a path, or None for a path of this machine or one that TensorFlow reads, such as gs://.

    Raises:
      UserError: no published weights have this name, the address names no file with weights, or nobody reads such an
        address.
    """
    if path.startswith(files.SCHEME):
        return of_published(files.named(path.removeprefix(files.SCHEME)), path)
    if not paths.is_remote(path):
        return None
    scheme = path.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return _of_address(path)
    known = paths.schemes()
    if scheme not in known:
        raise UserError(
            f"{path}: nobody reads addresses that begin with {scheme}://; expected preset:NAME, https://, http://, "
            "gs:// or a path"
        )
    return None


def of_published(file: files.PublishedFile, path: str | None = None) -> Source:
    """Returns the `Source` of a `PublishedFile`.

    Raises:
      UserError: DEEPLAB_MODELS_URL is no address.
    """
    base = os.environ.get(MODELS_URL) or ARCHIVES
    _host(base, f"{MODELS_URL}={base}")
    return Source(path or files.SCHEME + file.name, file.name, f"{base.rstrip('/')}/{file.archive}", file.archive, file)


def _of_address(address):
    place = urllib.parse.unquote(_host(address, address).path)
    name = place.rpartition("/")[2]
    if not name.endswith(_SUFFIXES) or name.startswith("."):
        raise UserError(f"{address}: names no file with weights; expected one that ends with {', '.join(_SUFFIXES)}")
    digest = hashlib.sha256(address.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    stem = next(name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix))
    return Source(address, stem, address, os.path.join(digest, name), files.of_archive(name))


def _host(address, where):
    """Returns the parts of an address of http or https.

    Raises:
      UserError: there is no host, or no port that can be; the message begins with `where`.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        fine = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or any(ord(letter) <= 32 or ord(letter) == 127 for letter in address):
        raise UserError(f"{where}: expected an address such as https://host/folder")
    return parts
