"""One server process with a real SavedModel: what the signatures of export answer over HTTP, and SIGTERM."""

import base64
import http.client
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import types
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.data import catalog
from deeplab.exporting.signatures import ExportedModule

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from helpers.fake_server import wait_until

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
PICTURE = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)


def predictor(bias):
    """Returns what `ExportedModule` takes as a `Predictor`: three classes, the strongest colour wins."""

    def predict(images):
        images = tf.cast(images, tf.float32) + bias
        return tf.argmax(images, -1, output_type=tf.int32), tf.nn.softmax(images)

    predict.model, predict.num_classes = types.SimpleNamespace(variables=[bias]), 3
    return predict


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server in a process of its own; `url` is where it listens."""
    folder = tmp_path_factory.mktemp("export")
    version = str(folder / "3")
    module = ExportedModule(predictor(tf.Variable([0.0, 0.1, 0.2])))
    tf.saved_model.save(module, version, signatures=module.signatures())
    catalog.save(catalog.Dataset("colors", 3, class_names=("red", "green", "blue"), colors=COLORS), version)
    command = [sys.executable, "-m", "deeplab.serve", f"--saved_model={folder}", "--port=0", "--max_batch_size=1"]
    command += ["--poll_secs=0.1", "--noaccess_log"]  # nobody reads the output while a test waits
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"on (http://\S+:\d+)/", line):
                break
        assert found, lines
        process.url, process.folder = found[1], folder
        yield process
        process.kill()


def ask(server, body, path="/v1/models/deeplab:predict"):
    """Returns (status, JSON)."""
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url + path, body), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def file_of(array, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def encoded(*files):
    return {"instances": [{"b64": base64.b64encode(file).decode()} for file in files], "signature_name": "bytes"}


def test_arrays_give_labels(server):
    images = np.stack([PICTURE, PICTURE[::-1]])
    for request, key in (({"instances": images.tolist()}, "predictions"), ({"inputs": images.tolist()}, "outputs")):
        status, answer = ask(server, request)
        assert status == 200
        np.testing.assert_array_equal(answer[key], images.argmax(-1))
    status, answer = ask(server, {"inputs": {"ImageTensor": images[:1].tolist()}, "signature_name": "reference"})
    assert sorted(answer["outputs"]) == ["SemanticPredictions", "SemanticProbabilities"]


def test_files_of_several_sizes_give_png_files(server):
    pictures = [PICTURE, PICTURE[:4]]
    status, answer = ask(server, encoded(*[file_of(picture) for picture in pictures]))
    assert status == 200
    for picture, prediction in zip(pictures, answer["predictions"], strict=True):
        labels = Image.open(io.BytesIO(base64.b64decode(prediction["b64"])))
        np.testing.assert_array_equal(np.asarray(labels), picture.argmax(-1))


def test_the_page_gets_names_and_colors(server):
    status, answer = ask(server, file_of(np.full((4, 6, 3), (9, 200, 7), np.uint8)), "/page/segment")
    assert status == 200
    assert answer["classes"] == [{"id": 1, "name": "green", "color": [0, 255, 0], "share": 1.0}]


@pytest.mark.parametrize(
    "body",
    [
        encoded(file_of(np.tile(PICTURE, (9, 9, 1)), "JPEG")[:400]),  # truncated
        encoded(b"text"),
        encoded(file_of(PICTURE)[:40]),
        {"inputs": np.stack([PICTURE] * 2).tolist(), "signature_name": "reference"},  # takes one image
        {"instances": [{"b64": "aGk="}]},  # serving_default takes numbers
    ],
)
def test_nonsense_is_refused(server, body):
    status, answer = ask(server, body)
    assert (status, list(answer)) == (400, ["error"])


def test_a_version_is_served_once_its_copy_is_complete(server):
    old, new = server.folder / "3", server.folder / "10"
    (new / "variables").mkdir(parents=True)
    shutil.copy(old / "saved_model.pb", new)
    shutil.copy(old / "dataset.json", new)
    for line in server.stdout:
        if "new version not loaded, the old one stays" in line:
            break
    assert ask(server, None, "/v1/models/deeplab/versions/3")[0] == 200
    for file in (old / "variables").iterdir():
        shutil.copy(file, new / "variables")
    wait_until(lambda: ask(server, None, "/v1/models/deeplab/versions/10")[0] == 200, seconds=60)
    assert ask(server, None, "/v1/models/deeplab/versions/3")[0] == 404
    status, answer = ask(server, {"instances": [PICTURE.tolist()]})
    assert (status, answer["predictions"]) == (200, [PICTURE.argmax(-1).tolist()])


def test_sigterm_ends_the_server(server):
    """The last test. Requests that have not come in full are refused, and may be sent to another server."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"instances": [PICTURE.tolist()]}).encode()
    head = f"POST /v1/models/deeplab:predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connections = [socket.create_connection((host, int(port)), timeout=60) for _ in range(4)]
    for connection in connections:
        connection.sendall(head + body[:-1])
    wait_until(lambda: "deeplab_requests_in_flight 4.0" in metrics(server), seconds=60)
    server.send_signal(signal.SIGTERM)
    for connection in connections:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.headers["Retry-After"], list(json.load(answer))) == (503, "1", ["error"])
        connection.close()
    assert server.wait(60) == 0


def metrics(server):
    """Returns the text of /metrics; None: the server takes no requests."""
    try:
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as answer:
            return answer.read().decode()
    except OSError:
        return None
