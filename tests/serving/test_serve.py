"""The server over real sockets, with a fake model: contract, limits, queue, reload, slow senders.

TensorFlow Serving itself was not run: what is asserted is the documented contract of its REST interface.
"""

import base64
import dataclasses
import functools
import http.client
import io
import json
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image

from deeplab.config.serve import ServeConfig
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.inference import export_folder, two_at_once
from deeplab.inference.input_size import InputSize
from deeplab.inference.saved_models.loading import Signature, Spec
from helpers import crafted_images as crafted
from helpers.fake_server import wait_until

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving import answers
from deeplab.serving.app import Application
from deeplab.serving.computing.budget import Cost
from deeplab.serving.run import _bind, http_server

IMAGES = Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")
LABELS = Spec(np.dtype(np.int32), "DT_INT32", (None, None, None), "labels:0")
TEXT = Spec(np.dtype(object), "DT_STRING", (None,), "text:0")


class Fake:
    """Labels are the red channel; `bytes` gives its input back."""

    gate = threading.Event()
    started = threading.Event()

    def __init__(self, folder, version):
        self.version, self.dataset, self.card = version, catalog.CATALOG["camvid"], {}
        self.input_size, self.cost = InputSize(), Cost()
        self.signatures = {
            "serving_default": Signature({"images": IMAGES}, {"labels": LABELS}),
            "bytes": Signature({"image_bytes": TEXT}, {"png_bytes": TEXT}),
        }

    def settle(self):
        """Has nothing to give back."""

    def run(self, signature, inputs):
        self.started.set()
        assert self.gate.wait(30)
        if signature == "bytes":
            return {"png_bytes": inputs["image_bytes"]}
        return {"labels": inputs["images"][..., 0].astype(np.int32)}


class Running:
    """A server in a thread; `versions` are those that lie in its folder."""

    def __init__(self, folder):
        self.folder, self.versions = folder, []
        self.add_version()
        options = {"port": 0, "read_timeout_secs": 0.5, "max_request_bytes": 200_000, "max_pixels": 10_000}
        options |= {"page_pixels": 9_000, "model_name": "scenes"}
        config = ServeConfig("unused", max_queue_size=2, max_batch_size=1, poll_secs=0.05, **options)
        self.application = Application(config, functools.partial(export_folder.candidates, str(folder)), Fake)
        self.server = http_server(self.application)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def add_version(self):
        number = len(self.versions) + 9  # 9, 10: by number, not by name
        (self.folder / f"{number}").mkdir()
        (self.folder / f"{number}" / "saved_model.pb").touch()
        self.versions.append(number)

    def ask(self, path, body=None):
        """Returns (status, headers, JSON or text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps(body) if isinstance(body, dict) else body
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, answer.headers, json.loads(content) if is_json else content.decode()

    def predict(self, body):
        status, _headers, answer = self.ask("/v1/models/scenes:predict", body)
        return status, answer


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    Fake.gate.set()
    result = Running(tmp_path_factory.mktemp("versions"))
    yield result
    result.server.should_exit = True
    result.thread.join(30)


PIXELS = [[[1, 2, 3], [4, 5, 6]]]


def png(height, width, mode="RGB"):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), (3, 0, 0) if mode == "RGB" else 0).save(buffer, "PNG")
    return buffer.getvalue()


FILE = {"b64": base64.b64encode(png(2, 3)).decode()}


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"instances": [PIXELS, PIXELS]}, {"predictions": [[[1, 4]], [[1, 4]]]}),
        ({"instances": [{"images": PIXELS}]}, {"predictions": [[[1, 4]]]}),
        ({"inputs": [PIXELS]}, {"outputs": [[[1, 4]]]}),
        ({"inputs": {"images": [PIXELS]}, "signature_name": "serving_default"}, {"outputs": [[[1, 4]]]}),
        ({"instances": [FILE], "signature_name": "bytes"}, {"predictions": [FILE]}),
        ({"instances": [{"image_bytes": FILE}], "signature_name": "bytes"}, {"predictions": [FILE]}),
    ],
)
def test_rows_and_columns(running, request_, answer):
    assert running.predict(request_) == (200, answer)


def test_status_and_metadata(running):
    for path in ("/v1/models/scenes", f"/v1/models/scenes/versions/{running.versions[-1]}"):
        status, _headers, answer = running.ask(path)
        assert (status, answer["model_version_status"][0]["state"]) == (200, "AVAILABLE")
    answer = running.ask("/v1/models/scenes/metadata")[2]
    image = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["images"]
    assert image["dtype"] == "DT_UINT8"
    assert [dim["size"] for dim in image["tensor_shape"]["dim"]] == ["-1", "-1", "-1", "3"]
    assert running.ask("/healthz")[0] == running.ask("/readyz")[0] == 200
    assert "deeplab_requests_total" in running.ask("/metrics")[2]
    assert running.ask("/v1/models/other")[0] == running.ask("/v1/models/scenes/versions/99")[0] == 404


def encoded(content):
    return {"instances": [{"b64": base64.b64encode(content).decode()}], "signature_name": "bytes"}


def animation():
    buffer = io.BytesIO()
    frames = [Image.new("L", (9, 9), shade) for shade in (0, 255)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("not json", 400),
        ("[" * 100_000, 400),
        ("{}", 400),
        ({"instances": [], "inputs": []}, 400),
        ({"instances": []}, 400),
        ({"instances": [[[[1, 2]]]]}, 400),  # two channels
        ({"instances": [[[[1, 2, 3]], [[1, 2]]]]}, 400),  # ragged
        ({"instances": [[[[-1, 2, 3]]]]}, 400),
        ({"instances": [[[[256, 2, 3]]]]}, 400),
        ({"instances": [[[[1.5, 2, 3]]]]}, 400),
        ('{"instances": [[[[NaN, 2, 3]]]]}', 400),
        ({"instances": [[[["a", 2, 3]]]]}, 400),
        ({"instances": [PIXELS], "signature_name": "none"}, 400),
        ({"instances": [{"b64": "%%"}], "signature_name": "bytes"}, 400),
        (encoded(png(101, 100)), 413),  # more than max_pixels
        (encoded(png(10_000, 10_000, "1")), 413),  # 13 KB
        (encoded(png(9, 9)[:20]), 400),
        (encoded(b"\xff\xd8\xff\xe0"), 400),
        (encoded(animation()), 400),
        ("x" * 200_001, 413),
    ],
)
def test_nonsense_is_refused(running, body, status):
    code, answer = running.predict(body)
    assert code == status
    assert list(answer) == ["error"]


@pytest.mark.parametrize("name", [*crafted.FOREIGN, "GIF", "WEBP", "APNG", "canvas", "bomb", "scans"])
def test_what_is_no_image_of_a_known_format_reaches_no_decoder(running, name):
    content = {
        **crafted.FOREIGN,
        **{kind: crafted.animation(kind) for kind in ("GIF", "WEBP")},
        "APNG": crafted.animation("PNG"),
        "canvas": crafted.webp(crafted.webp_canvas(8192, 8192, flags=2)),
        "bomb": crafted.bmp(30_000, 30_000),
        "scans": crafted.progressive(1000),
    }[name]
    for path, body in (("/page/segment", content), ("/v1/models/scenes:predict", encoded(content))):
        status, _headers, answer = running.ask(path, body)
        assert status == 400
        assert list(answer) == ["error"]
        assert "\n" not in answer["error"]


def test_a_request_that_takes_too_much_memory_is_told_how_much(running, monkeypatch):
    thin = png(10_000, 1)  # few pixels, many rows
    config = dataclasses.replace(running.application.config, memory_budget_bytes=100_000_000)
    small = Application(config, functools.partial(export_folder.candidates, str(running.folder)), Fake).budget
    for path, body in (("/page/segment", thin), ("/v1/models/scenes:predict", encoded(thin))):
        assert running.ask(path, body)[0] == 200
        with monkeypatch.context() as patch:
            patch.setattr(running.application, "budget", small)
            status, _headers, answer = running.ask(path, body)
        assert status == 413
        assert "takes 100 MB of memory; at most 75 MB" in answer["error"]
    assert "deeplab_held_bytes 0.0" in running.ask("/metrics")[2]


def test_a_long_answer_comes_whole_and_is_held_until_it_is_sent(running, monkeypatch):
    monkeypatch.setattr(answers, "_PIECE", 10)
    pixels = [[[row, column, 0] for column in range(9)] for row in range(7)]
    assert running.predict({"instances": [pixels]}) == (200, {"predictions": [[[row] * 9 for row in range(7)]]})
    wait_until(lambda: running.application.budget.held == 0)  # the client has its last byte a moment earlier


def test_the_page_tells_at_which_size_a_large_picture_is_seen(running, monkeypatch):
    assert running.ask("/page/segment", png(20, 30))[2]["seen"] is None
    monkeypatch.setattr(running.application.model, "input_size", InputSize("auto", (8, 10), (10, 10), 15))
    assert running.ask("/page/segment", png(20, 30))[2]["seen"] == [7, 10]
    assert running.ask("/page/segment", png(9, 15))[2]["seen"] is None
    assert running.ask("/page/model")[2]["max_pixels"] == 10_000


def test_it_listens_at_the_host_and_port_of_the_flags():
    with _bind(ServeConfig("unused", host="127.0.0.2", port=0)) as listener:
        host, port = listener.getsockname()
        listener.listen()
        assert host == "127.0.0.2"
        with pytest.raises(UserError, match=rf"--host=127.0.0.2 --port={port}: cannot listen there"):
            _bind(ServeConfig("unused", host=host, port=port))


def test_the_page_segments_a_picture(running):
    assert "Drop a picture" in running.ask("/")[2]
    assert running.ask("/page/model")[2]["max_pixels"] == 9_000  # page_pixels
    status, _headers, answer = running.ask("/page/segment", png(20, 30))
    assert status == 200
    assert [(entry["id"], entry["share"]) for entry in answer["classes"]] == [(3, 1.0)]
    assert Image.open(io.BytesIO(base64.b64decode(answer["png"]))).size == (30, 20)
    for body, expected in ((b"text", 400), (png(20, 30)[:60], 400), (png(101, 100), 413)):
        assert running.ask("/page/segment", body)[0] == expected


@pytest.mark.parametrize(
    "start", [b"POST /v1/models/scenes:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", b"GET /"]
)
def test_slow_senders_are_cut_off(running, start):
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(start)
        try:
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_a_full_queue_gives_503_and_the_others_are_answered(running):
    Fake.gate.clear()
    answers = []
    ask = lambda: answers.append(running.predict({"instances": [PIXELS]})[0])  # noqa: E731
    running_at_once = two_at_once.networks()
    threads = [threading.Thread(target=ask) for _ in range(running_at_once + 2)]
    for thread in threads[:running_at_once]:
        Fake.started.clear()
        thread.start()
        assert Fake.started.wait(20)  # it runs
    for thread in threads[running_at_once:]:
        thread.start()
    deadline = time.monotonic() + 30
    while "deeplab_queue_length 2.0" not in running.ask("/metrics")[2]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    status, headers, _answer = running.ask("/v1/models/scenes:predict", {"instances": [PIXELS]})
    assert (status, headers["Retry-After"]) == (503, "1")
    Fake.gate.set()
    for thread in threads:
        thread.join(30)
    assert answers == [200] * (running_at_once + 2)


def test_a_new_version_replaces_the_old_one(running):
    running.add_version()
    deadline = time.monotonic() + 20
    while running.ask(f"/v1/models/scenes/versions/{running.versions[-1]}")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert running.ask(f"/v1/models/scenes/versions/{running.versions[-2]}")[0] == 404
    assert running.predict({"instances": [PIXELS]})[0] == 200
