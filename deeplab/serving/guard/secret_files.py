"""Files that hold a secret: the tokens of `--auth_token_file` and the key of `--tls_key`."""

import hashlib
import hmac
import os
import re
import stat
import sys
import time

from deeplab.errors import UserError
from deeplab.files import paths

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")  # RFC 6750 section 2.1, and too long to be guessed
_LOOK_SECS = 1.0  # the file is looked at no more often than this
_LARGEST = 1 << 20  # bytes of a file of tokens


class Tokens:
    """The tokens of a file, one a line; empty lines and lines that begin with # do not count.

    The file is read at once, and again when it has changed. A changed file that cannot be used is reported on stderr
    in one line, and the former tokens stay valid until it can be used. Only hashes of tokens are kept.

    Args:
      path: the file.

    Raises:
      UserError: the file cannot be read, everybody may read it, or it holds no token or a line that is no token.
    """

    def __init__(self, path: str):
        self._path = path
        self._state, self._looked = _state(path), time.monotonic()
        self._hashes = _read_tokens(path)

    def hold(self, authorization: bytes) -> bool:
        """Tells whether the value of an Authorization header is `Bearer` and one of the tokens.

        It takes the same time for every token of the same length.
        """
        self._read_again()
        scheme, _, token = authorization.partition(b" ")
        given, found = _hash(token.strip()), False
        for known in self._hashes:
            found |= hmac.compare_digest(given, known)
        return found and scheme.lower() == b"bearer"

    def _read_again(self):
        """Reads the file if it has changed since the last look."""
        if time.monotonic() - self._looked < _LOOK_SECS:
            return
        self._looked, before, self._state = time.monotonic(), self._state, _state(self._path)
        if self._state != before:
            try:
                self._hashes = _read_tokens(self._path)
            except UserError as error:
                print(f"warning: {error}; the former tokens stay valid", file=sys.stderr, flush=True)


def refuse_public(flag, path):
    """Raises a UserError if the file `path`, which --`flag` names, cannot be read, or if everybody may read it."""
    try:
        mode = os.stat(path).st_mode  # before it is opened, which would wait for whoever writes to a pipe
        if stat.S_ISREG(mode):
            open(path, "rb").close()
    except OSError as error:
        raise UserError(
            f"--{flag}={path}: cannot be read ({error.strerror}); name a file that this user may read"
        ) from None
    if not stat.S_ISREG(mode):
        raise UserError(f"--{flag}={path}: is no regular file; name a file")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise UserError(f"--{flag}={path}: every user of this machine may read or change it; chmod 600 {path}")


def _state(path):
    """Returns the `paths.stamp` of a file; None without the file."""
    try:
        return paths.stamp(path)
    except OSError:
        return None


def _read_tokens(path):
    """Returns the hashes of the tokens in a file; raises what `Tokens` raises."""
    refuse_public("auth_token_file", path)
    with open(path, "rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise UserError(f"--auth_token_file={path}: has more than {_LARGEST} bytes; expected one token a line")
    hashes = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not _TOKEN.fullmatch(line):  # the message does not show it: it may be a token with a slip
            raise UserError(
                f"--auth_token_file={path}: line {number} is no token; expected at least 16 letters, digits or -._~+/ "
                "a line, such as openssl rand -hex 32 writes"
            )
        hashes.append(_hash(line.encode()))
    if not hashes:
        raise UserError(f"--auth_token_file={path}: holds no token; openssl rand -hex 32 > {path}")
    return hashes


def _hash(token):
    return hashlib.sha256(token).digest()
