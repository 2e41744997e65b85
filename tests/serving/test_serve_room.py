"""More connections than the server keeps: who stays, and what is answered all the same. The model is a fake one."""

import contextlib
import threading

import pytest

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving.connections.room import Room
from helpers.fake_server import ANSWER, ONE, connect, get, is_closed, post, process, read, running, wait_until

LIGHT = ("/healthz", "/readyz", "/metrics")


@pytest.fixture
def server():
    with running(places=(4, 2), read_timeout_secs=20.0, max_queue_size=100) as result:
        yield result


class Connection:
    """What `Room` sees of a connection."""

    def __init__(self, phase="idle", since=0.0, received=0):
        self.phase, self.since, self.received, self.dropped = phase, since, received, False
        self.was_used = True

    def drop(self):
        self.dropped = True


@pytest.mark.parametrize(
    ("connections", "dropped"),
    [
        ([("answering", 0.0), ("idle", 1.0), ("idle", 2.0)], 1),  # idle for the longest time
        ([("reading", 0.0, 1), ("closing", 2.0), ("answering", 0.0)], 1),  # it has its answer
        ([("reading", 0.0, 9000), ("reading", 0.0, 30), ("answering", 0.0)], 1),  # the slowest sender
        ([("answering", 0.0), ("answering", 1.0), ("answering", 2.0)], None),
    ],
)
def test_who_has_to_go(connections, dropped):
    room, kept = Room(3, 1), [Connection(*each) for each in connections]
    assert all(room.enter(one) for one in kept)
    new, newer = Connection(since=9.0), Connection(since=9.0)
    assert room.enter(new) == (dropped is not None)
    assert [one.dropped for one in kept] == [i == dropped for i in range(3)]
    if dropped is None:
        assert not room.enter(newer)
        assert (new.dropped, newer.dropped, len(room)) == (True, False, 4)  # the oldest of the spare ones


def test_a_request_takes_the_place_of_a_connection_that_has_sent_nothing(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 10.0)
    room, first, second = Room(2, 2), Connection(since=9.4), Connection(since=9.9)
    first.was_used = second.was_used = False
    assert room.enter(first)
    assert room.enter(second)
    spare, late = Connection(since=9.95), Connection(since=9.95)
    assert not room.enter(spare)
    assert not room.enter(late)
    assert room.promote(spare)
    assert (first.dropped, second.dropped, len(room)) == (True, False, 3)
    assert not room.promote(late)  # the second may still send


def test_idle_connections_make_room(server):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect(post(ONE))) for _ in range(4)]
        assert [read(one)[0] for one in idle] == [200] * 4
        for _ in range(3):
            connection = stack.enter_context(server.connect(post(ONE)))
            assert read(connection)[::2] == (200, ANSWER)
        assert all(is_closed(one) for one in idle[:3])
        idle[3].sendall(post(ONE))
        assert read(idle[3])[::2] == (200, ANSWER)


def test_slow_senders_shut_nobody_out(server):
    """Many more than there is room for, all of which have begun a request."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.connect(b"POST / HTTP/1.1\r\nHost: a\r\n")) for _ in range(40)]
        for path in LIGHT:
            assert server.get(path)[0] == 200

        def answered():
            with server.connect(post(ONE)) as connection:
                answer = read(connection)
                return answer is not None and answer[0] == 200

        wait_until(answered)  # as soon as the slow ones have shown that they are slow
        answer = read(slow[0])
        assert answer is None or answer[0] in (408, 503)


def test_health_is_answered_while_all_connections_wait(server):
    server.model.gate.clear()
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(server.connect(post(ONE))) for _ in range(4)]
        wait_until(lambda: b"deeplab_requests_in_flight 4.0" in server.get("/metrics")[2])
        for _ in range(3):
            idle = [stack.enter_context(server.connect()) for _ in range(5)]  # take the spare places
            for path in LIGHT:
                assert server.get(path)[0] == 200
        assert is_closed(idle[0])
        with server.connect(post(ONE)) as connection:
            status, headers, answer = read(connection)
            assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
            assert answer == {"error": "Too many connections; try again later"}
        server.model.gate.set()
        assert [read(connection)[::2] for connection in waiting] == [(200, ANSWER)] * 4


def test_a_process_that_may_open_few_files_keeps_fewer_connections(tmp_path):
    """300 connections to a process with 200 descriptors: nothing but one line is said, and health is answered."""
    with process(tmp_path, files=200) as server, contextlib.ExitStack() as stack:
        assert server.told == ["At most 32 connections, because a process may open 200 files (ulimit -n)\n"]
        kept = [stack.enter_context(connect(server.port, b"GET /")) for _ in range(300)]
        for path in LIGHT:
            assert get(server.port, path)[0] == 200
        for connection in kept:
            connection.close()
        assert get(server.port, "/v1/models/deeplab:predict", ONE)[0] == 200
        server.terminate()
        assert server.wait(30) == 0


def test_many_clients_at_a_time_are_all_served():
    """Each of 6 clients comes with new connections, of which the server keeps 4 and 8 spare ones."""
    codes = []

    def client():
        for _ in range(20):
            codes.append(get(server.port, "/v1/models/deeplab:predict", ONE)[0])

    with running(places=(4, 8), max_queue_size=100) as server:
        threads = [threading.Thread(target=client) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(codes) == 120
    assert set(codes) <= {200, 503}
    assert codes.count(200) > 20
