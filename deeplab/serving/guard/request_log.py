"""The log of requests: one line each with an id, never contents. And the id itself, which every answer bears.

A line is `2026-01-31T12:00:00.123Z id=ID GET /healthz 200 1.4ms 34B`. Queries, headers, bodies and tokens are not in
it, and what a client chose (the method and the path) is escaped, so that it cannot write lines of its own.
"""

import contextvars
import datetime
import queue
import re
import secrets
import sys
import threading
import time

from starlette.datastructures import MutableHeaders

HEADER = "X-Request-Id"
_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")  # ids of clients that are taken as they are
_MOST_WAITING = 10_000  # lines that wait while whoever reads stderr stands still
_CLOSE_SECS = 1.0  # how long the last lines may take at the end
_PATH_LENGTH = 200
_GONE = 499  # the status in the log when the client left before the answer began, as nginx writes it

_current: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")


def current():
    """Returns the id of the request that is being answered; "-" outside of requests."""
    return _current.get()


def plain(text, length):
    """Returns at most `length` characters of `text` as printable ASCII: other characters and spaces are escaped."""
    escaped = text[:length].encode("unicode_escape").decode("ascii").replace(" ", "\\x20")
    return escaped + ("~" if len(text) > length else "")


class RequestLog:
    """An ASGI application that gives every request an id, and writes a line when it has been answered.

    Args:
      app: the ASGI application that answers.
      write: function (line) that writes it; None writes none.
    """

    def __init__(self, app, write):
        self._app, self._write = app, write

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            try:
                return await self._app(scope, receive, send)
            finally:
                if isinstance(self._write, Writer):  # the server ends
                    self._write.close()
        answer, start = {"status": _GONE, "bytes": 0}, time.monotonic()
        number = _id(scope["headers"])

        async def counted(message):
            if message["type"] == "http.response.start":
                answer["status"] = message["status"]
                MutableHeaders(scope=message)[HEADER] = number
            answer["bytes"] += len(message.get("body", b""))
            await send(message)

        token = _current.set(number)
        try:
            await self._app(scope, receive, counted)
        finally:
            _current.reset(token)
            if self._write:
                self._write(_line(scope, number, answer, time.monotonic() - start))


def refused(write, status, size, seconds):
    """Writes the line of an answer of `size` bytes to what is no request, and so has no method and path.

    Args:
      write: as of `RequestLog`.
      status: the status of the answer.
      size: bytes of its body.
      seconds: since the first byte came.

    Returns:
      The id, for the answer.
    """
    number = secrets.token_hex(8)
    if write:
        write(_line({"method": "-", "path": "-"}, number, {"status": status, "bytes": size}, seconds))
    return number


def _id(headers):
    """Returns the id that the client gave, if it is short and plain, or else a new one."""
    given = [value for key, value in headers if key == HEADER.lower().encode()]
    return given[0].decode() if len(given) == 1 and _PLAIN.fullmatch(given[0]) else secrets.token_hex(8)


def _line(scope, number, answer, seconds):
    path = scope.get("raw_path") or scope["path"].encode()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = f"{plain(scope['method'], 16)} {plain(path.partition(b'?')[0].decode('latin-1'), _PATH_LENGTH)}"
    return f"{now} id={number} {asked} {answer['status']} {1000 * seconds:.1f}ms {answer['bytes']}B"


class Writer:
    """Writes lines to a stream in a thread of its own, so that a reader who stands still never stops the server.

    When too many lines wait, further ones are left out, and a line says how many as soon as there is room.
    """

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._lines: queue.Queue[str | None] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        self._thread = threading.Thread(target=self._run, name="request log", daemon=True)
        self._thread.start()

    def __call__(self, line):
        try:
            if self._left_out:
                self._lines.put_nowait(f"warning: {self._left_out} lines of requests were left out of this log")
                self._left_out = 0
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def close(self):
        """Waits until the lines are written, but not for long."""
        try:
            self._lines.put(None, timeout=_CLOSE_SECS)
        except queue.Full:
            return
        self._thread.join(_CLOSE_SECS)

    def _run(self):
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # the stream is full or closed; requests are answered all the same
                self._left_out += 1
