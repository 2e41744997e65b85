"""The attacks: each is a name and a function (`Target`) -> what came of it, such as "413", "closed" or "no answer"."""

import contextlib
import http.client
import json
import socket
import time
from typing import NamedTuple

from server_attacks import files

PREDICT, PAGE, STATUS = "/v1/models/deeplab:predict", "/page/segment", "/v1/models/deeplab"
_ANSWER_SECS = 30.0  # how long an answer is waited for
_HOLD_SECS = 8.0  # how long a slow connection is kept open
_IDLE = 600  # connections that are open at a time, more than the server takes

CLOSED, HELD, NO_ANSWER = "closed", "held", "no answer"


class Target(NamedTuple):
    """The server: its address, and the token that its honest clients have."""

    host: str
    port: int
    token: str


class Kind(NamedTuple):
    """One kind of attack.

    Attributes:
      run: function (target) -> a list of outcomes.
      allowed: outcomes besides 4xx and 503 that are right.
      is_slow: whether it holds connections for seconds, so that it gets a thread of its own.
      pause: seconds before and after it, in which other attacks are not drowned by it.
    """

    run: object
    allowed: tuple = ()
    is_slow: bool = False
    pause: float = 0.5


def ask(target, path, body=None, **headers):
    """Returns the outcome of one request: the status, with "lines" after it if the answer is not one line."""
    headers = {"Authorization": f"Bearer {target.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    connection = http.client.HTTPConnection(target.host, target.port, timeout=_ANSWER_SECS)
    try:
        # The server may answer before it has all. The answer can be read unless the system dropped it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return outcome_of(answer.status, answer.read())
    except TimeoutError:
        return NO_ANSWER
    except (OSError, http.client.HTTPException):
        return CLOSED
    finally:
        connection.close()


def outcome_of(status, content):
    text = content.decode("utf-8", "replace").strip()
    if status < 400:
        return str(status)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = json.loads(text)["error"]
    return str(status) if text and "\n" not in str(text) else f"{status} lines"


def raw(target, *parts, pause=0.0, seconds=_ANSWER_SECS):
    """Sends parts one after the other, and returns the outcome; the parts may be an endless iterator."""
    try:
        with socket.create_connection((target.host, target.port), timeout=seconds) as connection:
            end = time.monotonic() + seconds
            for part in parts[0] if len(parts) == 1 and not isinstance(parts[0], bytes) else parts:
                try:
                    connection.sendall(part)
                except (BrokenPipeError, ConnectionResetError):
                    break
                if pause:
                    time.sleep(pause)
                if time.monotonic() > end:
                    return HELD
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return outcome_of(answer.status, answer.read())
    except TimeoutError:
        return NO_ANSWER
    except (OSError, http.client.HTTPException):
        return CLOSED


def _head(target, *lines, path=PREDICT, method="POST"):
    fixed = (f"{method} {path} HTTP/1.1", f"Host: {target.host}:{target.port}", f"Authorization: Bearer {target.token}")
    return "".join(f"{line}\r\n" for line in (*fixed, *lines, "")).encode()


def _posts(path, *bodies):
    return lambda target: [ask(target, path, body) for body in bodies]


def _image(content):
    """Returns the attack that sends a file to the signature `bytes` and to the page."""
    return lambda target: [ask(target, PREDICT, files.encoded(content)), ask(target, PAGE, content)]


def _lengths(target):
    values = ("-1", "1" * 30, "abc", "9999999999", "1, 2")
    return [raw(target, _head(target, f"Content-Length: {value}")) for value in values]


def _endless_chunks(target):
    def parts():
        yield _head(target, "Transfer-Encoding: chunked")
        while True:
            yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    return [raw(target, parts(), pause=0.002, seconds=_HOLD_SECS)]


def _slow_head(target):
    def parts():
        yield b"GET / HTTP/1.1\r\n"
        while True:
            yield b"X-a: b\r\n"

    return [raw(target, parts(), pause=0.5, seconds=_HOLD_SECS)]


def _slow_body(target):
    def parts():
        yield _head(target, "Content-Length: 1000")
        while True:
            yield b" "

    return [raw(target, parts(), pause=0.5, seconds=_HOLD_SECS)]


def _idle(target):
    """Opens more connections than the server takes, says nothing on them, and closes them after a while."""
    connections, outcomes = [], []
    for _ in range(_IDLE):
        try:
            connections.append(socket.create_connection((target.host, target.port), timeout=2))
        except OSError:
            outcomes.append(CLOSED)
    time.sleep(_HOLD_SECS / 2)
    for connection in connections:
        connection.close()
    return outcomes + [HELD] * len(connections)


def _pipelined(target):
    """Sends 20 requests at once, and returns the outcome of each."""
    outcomes, request = [], _head(target, path=STATUS, method="GET")
    try:
        with socket.create_connection((target.host, target.port), timeout=_ANSWER_SECS) as connection:
            connection.sendall(request * 20)
            stream, answers = connection.makefile("rb"), []
            for _ in range(20):
                answer = http.client.HTTPResponse(connection)
                answers.append(answer)  # it closes the stream when it is forgotten
                answer.fp.close()
                answer.fp = stream
                answer.begin()
                outcomes.append(outcome_of(answer.status, stream.read(int(answer.headers["Content-Length"]))))
                if answer.headers["Connection"] == "close":  # it does not answer the others, and says so
                    break
    except TimeoutError:
        outcomes.append(NO_ANSWER)
    except (OSError, http.client.HTTPException, TypeError, ValueError):
        outcomes.append(CLOSED)
    return outcomes


def _foreign_sites(target):
    own = _head(target, "Content-Length: 2").replace(
        f"Host: {target.host}:{target.port}".encode(), b"Host: evil.example"
    )
    return [
        raw(target, own + b"{}"),
        ask(target, PREDICT, b"{}", Origin="https://evil.example"),
        ask(target, STATUS, Origin="null"),
    ]


def _wrong_tokens(target):
    tokens = ("", "Bearer", "Bearer wrong", f"Basic {target.token}", "Bearer " + "x" * 5000)
    return [ask(target, path, Authorization=token) for token in tokens for path in (STATUS, "/metrics")]


def _names(target):
    names = ("a/b", "..%2f..%2fetc", "deeplab/versions/9/9", "%00", "deeplab/versions/" + "9" * 400, "x" * 5000)
    return [ask(target, f"/v1/models/{name}:predict", b"{}") for name in names]


def make():
    """Returns {name: `Kind`} of all attacks, after it made what they send."""
    numbers = [b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity", b"9" * 5000]
    dot = files.png(1, 1)
    zeros = b"[" + b"0," * (15 << 20) + b"0]"
    kinds = {
        "BMP of 119 bytes, 30000x30000": Kind(_image(files.bmp_bomb())),
        "WebP of 119 bytes, 16383x16383": Kind(_image(files.webp_bomb())),
        "animated WebP, canvas 8192x8192": Kind(_image(files.animated_webp())),
        "animated GIF": Kind(_image(files.animated_gif())),
        **{f"{name} file": Kind(_image(files.of_kind(name))) for name in ("DDS", "AVIF", "SPIDER", "PPM", "ICO")},
        "PNG of 9,000,000x1": Kind(_image(files.png(9_000_000, 1))),
        "progressive JPEG, 16,000 scans": Kind(_image(files.many_scans())),
        "30,000 images of 1x1": Kind(_posts(PREDICT, files.encoded(*[dot] * 30_000))),
        "5,000 arrays of 1x1": Kind(_posts(PREDICT, files.instances(b"[" + b",".join([b"[[[1,2,3]]]"] * 5000) + b"]"))),
        "JSON of 32 MB": Kind(_posts(PREDICT, files.instances(zeros)), (CLOSED,)),
        "JSON of 64 MB": Kind(_posts(PREDICT, files.instances(zeros) + b" " * (32 << 20)), (CLOSED,)),
        "deep JSON": Kind(_posts(PREDICT, b"[" * 100_000, b'{"instances":' * 50_000)),
        "inf, nan, 1e999": Kind(_posts(PREDICT, *[files.instances(b"[[[[" + n + b",2,3]]]]") for n in numbers])),
        "names with slashes": Kind(_names),
        "Content-Length": Kind(_lengths, (CLOSED,)),
        "pipelined requests": Kind(_pipelined, ("200",)),
        "not HTTP": Kind(lambda target: [raw(target, b"\x16\x03\x01\x02\0\x01\0" + bytes(512))], (CLOSED,)),
        "foreign Host or Origin": Kind(_foreign_sites),
        "wrong tokens": Kind(_wrong_tokens),
        "chunks without an end": Kind(_endless_chunks, (CLOSED, HELD), True),
        "slow head": Kind(_slow_head, (CLOSED, HELD), True),
        "slow body": Kind(_slow_body, (CLOSED, HELD), True),
        f"{_IDLE} idle connections": Kind(_idle, (CLOSED, HELD), True, 5.0),
    }
    return kinds
