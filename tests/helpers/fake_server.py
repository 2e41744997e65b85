"""The server with a model that computes nothing, and raw connections to it.

As a program, it serves a folder until SIGTERM: python -m helpers.fake_server FOLDER OPTION=VALUE ...
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

from deeplab.config.serve import ServeConfig
from deeplab.data import catalog
from deeplab.inference.export_folder import Version
from deeplab.inference.input_size import InputSize
from deeplab.inference.saved_models.loading import Signature, Spec
from deeplab.serving import run
from deeplab.serving.app import Application
from deeplab.serving.computing import budget
from deeplab.serving.connections import room
from helpers import crafted_images
from helpers.places import ROOT

IMAGES = Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")
FLOATS = Spec(np.dtype(np.float32), "DT_FLOAT", (None,), "floats:0")
TEXT = Spec(np.dtype(object), "DT_STRING", (None,), "text:0")
ROUTE = "/v1/models/deeplab:predict"
ONE = b'{"instances": [[[[1, 2, 3]]]]}'  # its answer:
LARGE = crafted_images.png_header(1, 2)  # an input of `bytes` whose output has 20 MB
SLEEPS = crafted_images.png_header(2, 1)  # an input of `bytes` for which a run takes 25 seconds
FIXED = {"port": 0, "max_batch_size": 1, "allowed_hosts": ("a",), "access_log": False}  # options
ANSWER = {"predictions": [[[1]]]}


def post(body, *headers, path=ROUTE):
    """Returns the bytes of a request."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def files(*contents):
    """Returns the body of a request that sends files to `bytes`."""
    instances = [{"b64": base64.b64encode(content).decode()} for content in contents]
    return json.dumps({"signature_name": "bytes", "instances": instances}).encode()


class Fake:
    """Labels are the red channel; `bytes` gives its input back. A run ends once `gate` is open.

    A red value of 250 or more makes a run that takes a tenth of a second for each unit above 250.
    """

    def __init__(self, folder=None, version=1):
        self.version, self.dataset, self.card = version, catalog.CATALOG["camvid"], {}
        self.input_size, self.cost = InputSize(), budget.Cost()
        self.signatures = {
            "serving_default": Signature({"images": IMAGES}, {}),
            "bytes": Signature({"image_bytes": TEXT}, {}),
            "floats": Signature({"floats": FLOATS}, {}),
        }
        self.gate, self.runs = threading.Event(), []  # the numbers of images of the runs that began
        self.gate.set()

    def settle(self):
        """Has nothing to give back."""

    def run(self, signature, inputs):
        (array,) = inputs.values()
        self.runs.append(len(array))
        assert self.gate.wait(60)
        if SLEEPS in array:
            time.sleep(25)
        if LARGE in array:
            array = np.array([b"a" * 20_000_000], object)
        if signature == "serving_default":
            array = array[..., 0]
            time.sleep(max(0, int(array.max()) - 250) / 10)
        return {"labels": array}


class Running:
    """A server in a thread. `places` are the numbers of connections and of spare connections."""

    def __init__(self, places=(512, 64), **options):
        self.model = Fake()
        config = ServeConfig("unused", **{**FIXED, "poll_secs": 0.0, **options})
        self._folder = tempfile.TemporaryDirectory()
        found = [Version(_version(self._folder.name), 1)]
        self.application = Application(config, lambda: found, lambda path, version: self.model)
        self.server = run.http_server(self.application)
        self.room = room.Room(*places)
        self.server.config.http.room = self.room
        self.listener = run._bind(config)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started)

    def connect(self, data=b""):
        """Returns a connection on which `data` was sent."""
        return connect(self.port, data)

    def get(self, path):
        """Returns (status, headers, content) of a GET on a connection of its own."""
        return get(self.port, path)

    def stop(self):
        self.model.gate.set()
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()
        self._folder.cleanup()


@contextlib.contextmanager
def running(**options):
    server = Running(**options)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def process(folder, *options, files=None):
    """Gives a server in a process of its own, with its `port`. `files`: how many it may have open."""
    command = [sys.executable, "-m", "helpers.fake_server", str(folder), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    limit = (lambda: __import__("resource").setrlimit(7, (files, files))) if files else None
    options = {"stdout": subprocess.PIPE, "text": True, "env": environment, "preexec_fn": limit}
    with subprocess.Popen(command, **options) as server:
        try:
            server.told, line = [], ""
            while not line.startswith("Serving on "):
                line = next(server.stdout)
                server.told.append(line)
            server.told = [line for line in server.told if line.startswith("At most")]
            server.port = int(line.strip().strip("/").rpartition(":")[2])
            yield server
        finally:
            server.kill()


def connect(port, data=b""):
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(data)
    return connection


def get(port, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def read(connection, method="POST"):
    """Returns (status, headers, JSON) of the next answer on a connection; None if it was closed without one."""
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        answer.begin()
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return None
    content = answer.read()
    return answer.status, answer.headers, json.loads(content) if content else None


class Stream:
    """A connection from which `read` takes several answers that come at once."""

    def __init__(self, connection):
        self._stream = connection.makefile("rb")

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def makefile(self, mode):
        return self

    def close(self):
        """Keeps the stream open, which `http.client` closes after an answer."""


def is_closed(connection):
    """Waits for the other side to close a connection; True if it does so before it sends anything."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _version(folder):
    """Makes version 1 in a folder, whose files have not changed for long; returns its path."""
    path = pathlib.Path(folder, "1", "saved_model.pb")
    path.parent.mkdir()
    path.touch()
    os.utime(path, (1, 1))
    return str(path.parent)


def _main(folder, *options):
    """Serves with options of `ServeConfig`."""
    _version(folder)
    run.ServedModel = Fake
    chosen = {name: float(value) if "." in value else int(value) for name, value in (o.split("=") for o in options)}
    run.serve(ServeConfig(str(folder), **{**FIXED, **chosen}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
