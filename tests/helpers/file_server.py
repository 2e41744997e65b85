"""A server of files on this machine, which can break off, ignore ranges, or answer with something else."""

import contextlib
import dataclasses
import hashlib
import http.server
import threading
import time


@dataclasses.dataclass
class Behaviour:
    """What a server does; a test may change it between requests.

    Attributes:
      files: {path below the address: content}.
      cuts: after how many bytes of its body each of the next answers ends; the first is taken by the next answer.
      ranges: whether the server knows ranges.
      validators: the headers with which it names the version of a file: "ETag" or "Last-Modified".
      status: the status of every answer, in place of 200.
      page: answers with a page, which bears status 200.
      length: whether answers tell their length.
      seconds: that an answer takes.
      requests: (path, Range, If-Range) of every request so far.
    """

    files: dict
    cuts: list = dataclasses.field(default_factory=list)
    ranges: bool = True
    validators: tuple = ("ETag",)
    status: int | None = None
    page: bool = False
    length: bool = True
    seconds: float = 0
    redirect: str | None = None
    requests: list = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def serving(files):
    """Serves {path: content}; gives the address and the `Behaviour`."""
    behaviour = Behaviour(dict(files))

    class Handler(_Handler):
        told = behaviour

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", behaviour
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    told: Behaviour

    def log_message(self, *_arguments):
        pass

    def do_GET(self):
        told = self.told
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        told.requests.append((self.path, wanted, condition))
        time.sleep(told.seconds)
        if told.redirect:
            self.send_response(302)
            self.send_header("Location", told.redirect)
            self.end_headers()
            return
        content = told.files.get(self.path.lstrip("/"))
        if told.status or content is None:
            self.send_error(told.status or 404)
            return
        if told.page:
            self._answer(200, b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8")
            return
        version = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Last-Modified": "Mon, 01 Oct 2018 00:00:00 GMT"}
        version = {name: version[name] for name in told.validators}
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and told.ranges else 0
        if condition and condition not in version.values():
            start = 0
        if start > len(content):
            self.send_error(416)
        elif start:
            version["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[start:], **version)
        else:
            self._answer(200, content, **version)

    def _answer(self, status, body, content_type="application/gzip", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": content_type, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if self.told.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = self.told.cuts.pop(0) if self.told.cuts else None
        self.wfile.write(body[:cut])
        self.close_connection = True
