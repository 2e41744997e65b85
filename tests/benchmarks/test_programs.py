"""The benchmark of whole programs: the same images for all, what is timed, and clients that send every image once."""

import base64
import contextlib
import http.server
import json
import threading

import numpy as np
import pytest

from deeplab.benchmarks import export, programs, server_load
from deeplab.config.benchmark import NETWORKS
from deeplab.data import source
from deeplab.files import progress_bar
from deeplab.programs import benchmark


def test_all_programs_get_the_images_of_the_data_set(monkeypatch, tmp_path):
    monkeypatch.setattr(programs, "_SIZE", (20, 30))
    drawn = programs._photographs(str(tmp_path / "a"), None, "other", 4)
    again = programs._photographs(str(tmp_path / "b"), f"{drawn.folder}/drawn", "val", 3)
    assert again.files == drawn.files[:3]
    assert {image.shape for image in drawn.pixels} == {(20, 30, 3)}
    assert len(source.open_split(again.folder, programs._NAME)) == 3
    stored = sorted((tmp_path / "b" / programs._NAME).iterdir())
    assert [path.read_bytes() for path in stored] == again.files


def test_neither_the_start_nor_the_end_of_a_program_counts(monkeypatch):
    now = iter([0.0, *np.arange(10.0, 15.0), *np.arange(15.0, 20.0, 0.5), *[90.0] * programs._LAST])
    monkeypatch.setattr(programs.time, "perf_counter", lambda: next(now))

    def program(_output):
        with progress_bar.show(20, "image") as bar:
            for _ in range(20):
                bar.update()

    assert programs._speed(program) == (pytest.approx(2), 10)


def test_every_image_is_sent_once_and_refusals_are_errors():
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = base64.b64decode(request["instances"][0]["b64"])
            received.append(content)
            self.send_response(503 if content == b"bad" else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        files = [f"{i}".encode() for i in range(20)]
        server_load._send(address, files, clients=3)
        assert sorted(received) == sorted(files)
        with pytest.raises(RuntimeError, match="answers 503"):
            server_load._send(address, [b"bad"], clients=1)
        server.shutdown()


@pytest.mark.slow
def test_a_table_of_all_programs(monkeypatch, capsys, tmp_path, shortest_mobilenet, quick_tracing):
    served = []

    @contextlib.contextmanager
    def serving(saved_model):
        served.append(saved_model)
        yield lambda files: None

    monkeypatch.setattr(programs.server_load, "serving", serving)
    monkeypatch.setattr(programs, "_SIZE", (33, 49))
    export.write_untrained(str(tmp_path), NETWORKS["mobilenet_v2"])
    called = programs.Programs(benchmark.export, benchmark.predict, benchmark.evaluate, benchmark.visualize)
    rows = programs.print_programs(called, str(tmp_path), (None, "val", 6), 1, "net")
    said = capsys.readouterr().out
    names = [f"net, {kind}" for kind in ("predict, export", "predict, checkpoint", "eval, export", "eval, checkpoint")]
    names += ["net, vis, checkpoint"]
    server = "net, server, 8 clients"
    assert [row.name for row in rows] == [
        f"net, {programs.BARE}",
        *names,
        server,
        *(f"{name}, start" for name in names),
    ]
    assert all(row.median > 0 for row in rows)
    assert "6 photographs of 1 sizes, mostly 33x49; 1 runs" in said
    assert len(served) == 1
