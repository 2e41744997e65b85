"""Starts the HTTP server as a process of its own, and sends it image files from several clients at a time."""

import base64
import concurrent.futures
import contextlib
import http.client
import itertools
import json
import subprocess
import sys
import threading
import urllib.parse

CLIENTS = 8
_ROUTE = "/v1/models/deeplab:predict"
_SAID = "Serving on "  # the server's line with its address begins so


@contextlib.contextmanager
def serving(saved_model, clients=CLIENTS, flags=()):
    """Runs `python -m deeplab.serve` for a `with` block.

    Args:
      saved_model: an --export_path.
      clients: how many requests are on their way at a time, unless a call says it.
      flags: further flags of the server.

    Gives a function of a list of image files (bytes), which sends each of them to the signature `bytes`, and of a
    number of clients. It returns when all are answered, and raises a RuntimeError if an answer is no success.
    """
    command = [sys.executable, "-m", "deeplab.serve", f"--saved_model={saved_model}", "--port=0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = next((line for line in process.stdout if line.startswith(_SAID)), None)
            if line is None:
                raise RuntimeError(f"{' '.join(command)} ended before it served")
            address = urllib.parse.urlsplit(line.removeprefix(_SAID).strip()).netloc
            yield lambda files, clients=clients: _send(address, files, clients)
        finally:
            process.kill()


def _send(address, files, clients):
    """Sends image files; every client keeps its connection, and sends the next file after an answer."""
    bodies, lock = iter([_request(content) for content in files]), threading.Lock()

    def client():
        connection = http.client.HTTPConnection(address, timeout=120)
        with contextlib.closing(connection):
            while True:
                with lock:
                    body = next(bodies, None)
                if body is None:
                    return
                connection.request("POST", _ROUTE, body)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != http.client.OK:
                    raise RuntimeError(f"the server answers {answer.status}: {content[:200]}")

    with concurrent.futures.ThreadPoolExecutor(clients) as threads:
        for done in [threads.submit(client) for _ in itertools.repeat(None, clients)]:
            done.result()


def _request(content):
    instance = {"b64": base64.b64encode(content).decode()}
    return json.dumps({"instances": [instance], "signature_name": "bytes"}).encode()
