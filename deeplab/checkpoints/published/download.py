"""Fetches a file over http or https, and goes on where an earlier attempt stopped. Imports no TensorFlow.

A part of a file is completed only if the server says that it still holds the same file: by If-Range (RFC 9110, 13.1.5)
where it gave an ETag or a date, and by the size in any case. A server that does not know ranges sends the file anew.
"""

import contextlib
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Protocol

import deeplab
from deeplab.errors import one_line
from deeplab.files import progress_bar

_SECONDS = 30  # without a byte, after which a connection counts as broken
_SECONDS_TLS = 10  # until a host that is asked for https on our own account has answered
_ATTEMPTS = 4  # without a new byte between them
_PAUSE_SECONDS = 0.5  # before the second attempt; grows with each
_CHUNK = 1 << 20  # bytes
_MOST = 8 << 30  # bytes of a file; the largest that is published has 0.5 GB
_MEGA = 10**6
_GZIP = b"\x1f\x8b"
_PARTS = re.compile(r"bytes (\d+)-\d+/(\d+)")  # of the header Content-Range
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers after which another attempt may succeed
_SAME_MACHINE = ("localhost", "::1")


class Failed(Exception):
    """The file could not be fetched; the message says why and goes on after "cannot be fetched: "."""


class _Broken(Exception):
    """The connection ended early, or the server was busy; another attempt may go on from there."""


class Part(Protocol):
    """A file that is being fetched.

    Attributes:
      size: bytes that are there.
      total: bytes that it will have, or None.
      validator: what the server calls this version of the file, for If-Range, or None.
    """

    size: int
    total: int | None
    validator: str | None

    def restart(self, total: int | None, validator: str | None) -> None:
        """Throws away what is there, and notes what the server says about the file that begins now."""

    def append(self, content: bytes) -> None:
        """Adds bytes at the end."""


def complete(address, part, say):
    """Fetches what a `Part` lacks.

    Args:
      address: of http or https. For http, https is tried first, unless the host is this machine or a port is named.
      part: the Part.
      say: prints a sentence.

    Raises:
      Failed: the server cannot be reached, refuses, or sends something else than a file.
    """
    without, attempts, opener = None, 0, _Opener(address, say)
    while part.total is None or part.size != part.total:
        before = part.size
        try:
            _attempt(opener, part)
            return
        except _Broken as error:
            without = error
        attempts = 1 if part.size > before else attempts + 1
        if attempts == _ATTEMPTS:
            got = f"; {part.size} of {part.total} bytes are kept, and the next run goes on there" if part.size else ""
            raise Failed(f"{without}{got}") from None
        time.sleep(_PAUSE_SECONDS * attempts)


class _Opener:
    """Opens an address, over https where the host offers it."""

    def __init__(self, address, say):
        parts = urllib.parse.urlsplit(address)
        self.address, self.say = address, say
        # A port that is named belongs to http, and says nothing of https.
        upgrades = parts.scheme == "http" and parts.port is None and not _is_this_machine(parts.hostname)
        self.secure = parts._replace(scheme="https").geturl() if upgrades else None

    def open(self, headers):
        if self.secure:
            try:
                return _open(self.secure, headers, _SECONDS_TLS)
            except urllib.error.HTTPError:
                raise
            except OSError as error:
                reason = getattr(error, "reason", error)
                if not _lacks_tls(reason):
                    raise
                host = urllib.parse.urlsplit(self.address).netloc
                self.say(f"{host} offers no https ({_words(reason)}): the file comes over http, open to change")
                self.secure = None
        return _open(self.address, headers, _SECONDS)


def _is_this_machine(host):
    return host in _SAME_MACHINE or (host or "").startswith("127.")


def _lacks_tls(reason):
    """Tells whether a host that refused https may have no https at all; a wrong certificate is another matter."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return False
    return isinstance(reason, (ssl.SSLError, ConnectionRefusedError, ConnectionResetError, TimeoutError))


class _StaySecure(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to anything else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise Failed(f"the server leads from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(address, headers, seconds):
    agent = {"User-Agent": f"{deeplab.DISTRIBUTION}/{deeplab.__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(address, headers=agent | headers)
    return urllib.request.build_opener(_StaySecure).open(request, timeout=seconds)


def _attempt(opener, part):
    """Asks the server once; adds what it sends to the `Part`."""
    headers = {"Range": f"bytes={part.size}-"} if part.size else {}
    headers |= {"If-Range": part.validator} if part.size and part.validator else {}
    try:
        with opener.open(headers) as response:
            _begin(response, part)
            _copy(response, part)
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            _refused(error, part)
    except http.client.IncompleteRead:
        raise _Broken("the connection broke") from None
    except http.client.HTTPException as error:
        raise Failed(f"the server does not speak http ({type(error).__name__})") from None
    except urllib.error.URLError as error:
        raise _unreachable(error.reason) from None
    except (TimeoutError, ConnectionError, ssl.SSLError) as error:
        raise _Broken(f"the connection broke ({_words(error)})") from None


def _unreachable(reason):
    """Returns the error of a host that could not be asked."""
    kind = _Broken if isinstance(reason, (TimeoutError, ConnectionResetError)) else Failed
    return kind(f"the host cannot be reached ({_words(reason)})")


def _words(reason):
    """Returns what an error of the network says, in a few words."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {reason.verify_message}"
    if isinstance(reason, socket.gaierror):
        return f"no network, or no such host: {reason.strerror}"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return one_line(getattr(reason, "strerror", None) or reason, 200) or type(reason).__name__


def _refused(error, part):
    """Raises what an answer of the server that is no file means."""
    if error.code == 416 and part.size:  # the part is longer than the file, which must have changed
        part.restart(None, None)
        raise _Broken("the server has another file now")
    said = f"the server answers {error.code} {one_line(error.reason, 100)}".rstrip()
    raise (_Broken if error.code in _BUSY else Failed)(said)


def _begin(response, part):
    """Settles by the headers of an answer where its bytes belong."""
    content_type = response.headers.get_content_type()
    if content_type in ("text/html", "application/xhtml+xml"):
        raise Failed(f"the server sends a page ({content_type}) in place of a file")
    if response.status == 206 and part.size:
        found = _PARTS.fullmatch(response.headers.get("Content-Range", "").strip())
        if found and int(found[1]) == part.size and part.total in (None, int(found[2])):
            part.total = int(found[2])
            return
        part.restart(None, None)
        raise _Broken("the server has another file now")
    if response.status != 200:
        raise Failed(f"the server answers {response.status}")
    length = response.headers.get("Content-Length", "")
    part.restart(int(length) if length.isdecimal() else None, _validator(response.headers))


def _validator(headers):
    """Returns what If-Range may say of this version of the file: a strong ETag, or else its date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _copy(response, part):
    """Adds the bytes of an answer to the `Part`."""
    total = None if part.total is None else part.total / _MEGA
    with progress_bar.show(total and round(total), "MB") as bar:
        bar.update(part.size // _MEGA)
        while content := response.read1(_CHUNK):
            if part.size > _MOST:
                raise Failed(f"the server sends more than {_MOST >> 30} GB")
            part.append(content)
            bar.update(part.size // _MEGA - bar.n)
    if part.total is None:
        part.total = part.size
    if part.size > part.total:
        raise Failed(f"the server sends more than the {part.total} bytes that it says")
    if part.size < part.total:
        raise _Broken(f"the connection ended after {part.size} of {part.total} bytes")


def is_gzip(content):
    """Tells whether the first bytes of a file are those of gzip."""
    return content.startswith(_GZIP)
