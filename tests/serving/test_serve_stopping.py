"""What ends a request before its answer, and SIGTERM: deadlines, clients that go away, readiness. A fake model."""

import contextlib
import json
import signal
import time

import pytest

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from helpers.fake_server import (
    ANSWER,
    ONE,
    ROUTE,
    SLEEPS,
    connect,
    files,
    get,
    post,
    process,
    read,
    running,
    wait_until,
)

CALM = {"request_timeout_secs": 60.0, "read_timeout_secs": 60.0}


def images(count, red=1):
    return json.dumps({"instances": [[[[red, 2, 3]]]] * count}).encode()


def test_a_request_has_so_many_images_and_not_more():
    with running(max_images=3) as server:
        assert get(server.port, ROUTE, images(3))[0] == 200
        for body in (images(4), files(*[SLEEPS] * 4)):
            status, _headers, content = get(server.port, ROUTE, body)
            assert status == 413
            assert json.loads(content) == {"error": "4 images; at most 3 are taken, so send several requests"}


def test_a_small_request_is_answered_before_a_large_one():
    with running() as server:
        with server.connect(post(images(40, red=251))) as large:  # a tenth of a second each
            wait_until(lambda: server.model.runs)
            start = time.monotonic()
            assert get(server.port, ROUTE, ONE)[0] == 200
            assert time.monotonic() - start < 1.5
            assert read(large)[::2] == (200, {"predictions": [[[251]]] * 40})
        assert server.model.runs == [1] * 41


def test_the_time_limit_holds_inside_a_request():
    with running(request_timeout_secs=0.5) as server:
        assert get(server.port, ROUTE, images(40, red=251))[0] == 504
        count = len(server.model.runs)
        assert count < 20
        time.sleep(0.4)
        assert len(server.model.runs) <= count + 2  # those that ran at that moment


def test_reading_counts_towards_the_time_limit():
    with running(request_timeout_secs=0.5) as server:
        data = post(images(2, red=254))
        with server.connect(data[:-1]) as connection:
            time.sleep(0.4)
            connection.sendall(data[-1:])
            start = time.monotonic()
            assert read(connection)[0] == 504
            assert time.monotonic() - start < 0.4


def test_what_a_client_left_behind_is_not_computed():
    with running() as server:
        with server.connect(post(images(40, red=251))):
            wait_until(lambda: server.model.runs)
        wait_until(lambda: b"deeplab_requests_in_flight 0.0" in server.get("/metrics")[2])
        count = len(server.model.runs)
        time.sleep(0.4)
        assert len(server.model.runs) <= min(20, count + 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_queue_size": 1}, "The queue is full"),
        ({"request_timeout_secs": 0.8, "max_queue_size": 9}, "A request waits for more than 0.2 s"),
    ],
)
def test_readiness_tells_the_truth(options, reason):
    with running(**{"request_timeout_secs": 60.0, **options}) as server, contextlib.ExitStack() as stack:
        assert server.get("/readyz")[0] == server.get("/healthz")[0] == 200
        server.model.gate.clear()
        for count in (1, 2, 3):
            stack.enter_context(server.connect(post(ONE)))
            wait_until(lambda count=count: len(server.model.runs) + len(server.application.batcher) == count)
        wait_until(lambda: server.get("/readyz")[0] == 503)
        status, headers, content = server.get("/readyz")
        assert (status, headers["Retry-After"], json.loads(content)) == (503, "1", {"error": reason})
        assert server.get("/healthz")[0] == 200
        server.model.gate.set()
        wait_until(lambda: server.get("/readyz")[0] == 200)


def test_without_a_model_it_lives_but_is_not_ready():
    with running() as server:
        server.application.model = None
        assert server.get("/healthz")[0] == 200
        assert server.get("/readyz")[0] == 503


def test_stopping_answers_what_is_computed_and_refuses_the_rest():
    with running(stop_timeout_secs=20.0, **CALM) as server, contextlib.ExitStack() as stack:
        server.model.gate.clear()
        at_once = server.application.batcher._at_once
        connections = []
        for count in range(1, at_once + 3):  # two of them wait
            connections.append(stack.enter_context(server.connect(post(ONE))))
            wait_until(lambda count=count: len(server.model.runs) + len(server.application.batcher) == count)
        sending = [stack.enter_context(server.connect(data)) for data in (post(ONE)[:-1], post(ONE)[:20])]
        idle = stack.enter_context(server.connect())
        wait_until(lambda: [one.phase for one in server.server.server_state.connections].count("reading") == 2)
        server.server.should_exit = True
        for connection in connections[at_once:] + sending:
            status, headers, answer = read(connection)
            assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
            assert answer == {"error": "The server is stopping; try again later"}
        assert read(idle) is None
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        server.model.gate.set()
        for connection in connections[:at_once]:
            status, headers, answer = read(connection)
            assert (status, headers["Connection"], answer) == (200, "close", ANSWER)


def test_a_large_request_ends_after_its_piece_when_the_server_stops():
    with running(**CALM) as server, server.connect(post(images(40, red=251))) as connection:
        wait_until(lambda: server.model.runs)
        server.server.should_exit = True
        assert read(connection)[0] == 503
        assert len(server.model.runs) < 20


def test_sigterm_ends_the_process_in_time_whatever_computes(tmp_path):
    """A run of 25 seconds is answered 503 while it goes on, and the exit code is 0."""
    with process(tmp_path, "stop_timeout_secs=4.0") as server, contextlib.ExitStack() as stack:
        slow = stack.enter_context(connect(server.port, post(files(SLEEPS))))
        wait_until(lambda: b"deeplab_requests_in_flight 1.0" in get(server.port, "/metrics")[2])
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        status, headers, answer = read(slow)
        assert (status, headers["Connection"]) == (503, "close")
        assert answer == {"error": "The server is stopping; try again later"}
        assert server.wait(30) == 0
        assert time.monotonic() - start < 15


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    with process(tmp_path, "stop_timeout_secs=60.0") as server, connect(server.port, post(files(SLEEPS))):
        wait_until(lambda: b"deeplab_requests_in_flight 1.0" in get(server.port, "/metrics")[2])
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: _refuses(server.port))
        start = time.monotonic()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130
        assert time.monotonic() - start < 10


def _refuses(port):
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False
