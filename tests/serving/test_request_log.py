"""The log of requests: one line each, an id that the answer bears, and never contents."""

import asyncio
import io
import re
import threading
import time

import pytest

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving.guard import access, request_log
from helpers import fake_server
from helpers.served import TOKEN, Served


@pytest.fixture(scope="module")
def served():
    with Served() as server:
        yield server


def test_a_line_tells_of_a_request_but_not_what_was_in_it(monkeypatch):
    lines = []
    monkeypatch.setattr(request_log, "Writer", lambda: lines.append)
    with Served(access_log=True) as server:
        server.ask("/v1/models/a%20b?secret=1", X_Request_Id="mine-1", Cookie="secret=2")
        server.ask("/" + "x" * 500, X_Request_Id="two words")
        server.ask(Host="evil.example", Authorization=f"Bearer {TOKEN}")
    form = r"\d{4}-\d\d-\d\dT[\d:.]+Z id=(\S+) GET (\S+) (\d+) \d+\.\dms (\d+)B"
    first, second, third = (re.fullmatch(form, line).groups() for line in lines)
    assert first[:3] == ("mine-1", "/v1/models/a%20b", "200")
    assert re.fullmatch("[0-9a-f]{16}", second[0])
    assert len(second[1]) == 201
    assert third[2] == "403"
    assert "secret" not in "".join(lines)
    assert TOKEN not in "".join(lines)


def test_answers_bear_the_id_of_their_line(served):
    for given, taken in (("a.b-c_1", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("\xe9", False)):
        _status, headers, answer = served.ask(X_Request_Id=given.encode("latin-1"))
        assert (headers["X-Request-Id"] == given) == taken
        assert answer["id"] == headers["X-Request-Id"]


def test_what_is_no_request_is_answered_and_logged_like_one(monkeypatch):
    lines = []
    monkeypatch.setattr(request_log, "Writer", lambda: lines.append)
    with fake_server.running(access_log=True) as server:
        status, headers, _answer = fake_server.read(server.connect(b"nonsense\r\n\r\n"))
    assert status == 400
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == access.POLICY
    (line,) = lines
    assert re.fullmatch(rf"\S+ id={headers['X-Request-Id']} - - 400 \d+\.\dms {headers['Content-Length']}B", line)


def test_what_clients_choose_cannot_write_lines_of_its_own():
    scope = {"type": "http", "method": "GE\nT", "raw_path": b"/a\r\nb \x1b[2J?q", "path": "/", "headers": []}
    lines = []

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1234"})

    async def send(message):
        pass

    asyncio.run(request_log.RequestLog(answer, lines.append)(scope, None, send))
    (line,) = lines
    assert line.isprintable()
    assert re.search(r"GE\\nT /a\\r\\nb\\x20\\x1b\[2J 200 \S+ms 4B", line)


def test_the_log_is_written_by_a_flag(capfd):
    for wanted in (True, False):
        with Served(access_log=wanted) as server:
            server.ask("/healthz")
        time.sleep(0.1)
        assert ("GET /healthz 200" in capfd.readouterr().err) == wanted


def test_a_reader_who_stands_still_does_not_stop_the_server(monkeypatch):
    monkeypatch.setattr(request_log, "_MOST_WAITING", 3)
    gate, stream = threading.Event(), io.StringIO()
    write = stream.write
    stream.write = lambda text: gate.wait(20) and write(text)
    writer = request_log.Writer(stream)
    for number in range(50):
        writer(f"line {number}")
    gate.set()
    while not writer._lines.empty():
        time.sleep(0.01)
    writer("last")
    writer.close()
    lines = stream.getvalue().splitlines()
    left_out = int(re.search(r"warning: (\d+) lines", lines[-2])[1])
    assert lines[-1] == "last"
    assert left_out + len(lines) - 2 == 50
