"""Connections to the server: time limits, pipelining, malformed requests. The model is a fake one."""

import contextlib
import socket
import time

import pytest

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from helpers import fake_server
from helpers.fake_server import ANSWER, LARGE, ONE, ROUTE, Stream, files, is_closed, post, read, running, wait_until

GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server():
    with running(max_request_bytes=100_000, read_timeout_secs=1.0) as result:
        yield result


def head(*lines):
    return "\r\n".join([*lines, "", ""]).encode()


CHUNKED = head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
MALFORMED = {  # (bytes, status; 0: closed without an answer)
    "text": (b"hello\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3.0": (head("GET / HTTP/3.0", "Host: a"), 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600), 400),
    "no Host": (head("GET /healthz HTTP/1.1"), 400),
    "two Hosts": (head("GET /healthz HTTP/1.1", "Host: a", "Host: b"), 400),
    "a Host that is no address": (head("GET /v1/models/a/b HTTP/1.1", "Host: ["), 403),
    "address of another Host": (head("GET http://b/healthz HTTP/1.1", "Host: a"), 400),
    "target without a slash": (head("GET healthz HTTP/1.1", "Host: a"), 400),
    "CONNECT": (head("CONNECT a:80 HTTP/1.1", "Host: a"), 400),
    "negative length": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: -1"), 400),
    "length that is no number": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: 0x10"), 400),
    "length with a sign": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: +5"), 400),
    "two lengths": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: 5", "Content-Length: 6"), 400),
    "enormous length": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: 99999999999999999999"), 413),
    "length of 100 digits": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: " + "9" * 100), 400),
    "length and chunks": (
        head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
        400,
    ),
    "chunks in HTTP/1.0": (head(f"POST {ROUTE} HTTP/1.0", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "unknown encoding": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Transfer-Encoding: gzip"), 501),
    "chunk without a size": (CHUNKED + b"hello\r\n", 400),
    "negative chunk": (CHUNKED + b"-5\r\nhello\r\n", 400),
    "chunk longer than its size": (CHUNKED + b"2\r\nhello\r\n0\r\n\r\n", 400),
    "enormous chunk": (CHUNKED + b"FFFFFFFFFFFFFFFF\r\n" + b"1" * 150_000, 413),
    "chunk with 40 digits": (CHUNKED + b"F" * 40 + b"\r\n", 400),
    "chunks without an end": (CHUNKED + b"5\r\nhello\r\n", 408),
    "chunks of one byte": (CHUNKED + b"1\r\n1\r\n" * 3000, 400),
    "extension of a chunk without an end": (CHUNKED + b"1;" + b"a" * 40_000, 431),
    "trailers without an end": (CHUNKED + b"0\r\n" + b"a: b\r\n" * 10_000, 431),
    "body without an end": (head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: 9") + b"{", 408),
    "head without an end": (b"GET /", 408),
    "head without a byte more": (b"GET / HTTP/1.1\r\nHost: a\r\n", 408),
    "many headers": (head("GET / HTTP/1.1", "Host: a", *[f"a{i}: b" for i in range(5000)]), 431),
    "long header": (head("GET / HTTP/1.1", "Host: a", "a: " + "b" * 100_000), 431),
    "long target": (head("GET /" + "a" * 100_000 + " HTTP/1.1", "Host: a"), 431),
    "NUL in a header": (b"GET / HTTP/1.1\r\nHost: a\r\na: \0\r\n\r\n", 400),
    "unknown address": (head("GET /nothing HTTP/1.1", "Host: a"), 404),
    "address of everything": (head("OPTIONS * HTTP/1.1", "Host: a"), 404),
    **{
        f"{method} {path}": (head(f"{method} {path} HTTP/1.1", "Host: a"), 405)
        for method in ("OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "NONSENSE")
        for path in ("/healthz", ROUTE)
    },
    "GET for predict": (head(f"GET {ROUTE} HTTP/1.1", "Host: a"), 400),
    "POST for the status": (post(b"", path="/v1/models/deeplab"), 400),
    "name with a slash": (post(ONE, path="/v1/models/deeplab/x:predict"), 400),
    "name with an encoded slash": (post(ONE, path="/v1/models/deeplab%2F..%2Fx:predict"), 400),
    "name that climbs": (post(ONE, path="/v1/models/../../etc/passwd"), 400),
    "name that is not UTF-8": (post(ONE, path="/v1/models/%ff%00%0a:predict"), 404),
    "enormous version": (post(ONE, path="/v1/models/deeplab/versions/" + "9" * 5000 + ":predict"), 404),
    "negative version": (post(ONE, path="/v1/models/deeplab/versions/-1:predict"), 400),
    **{
        f"{number} as {kind}": (post(body % number), 400)
        for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9" * 400, b"nan", b"inf")
        for kind, body in {
            "a pixel": b'{"instances": [[[[%s, 2, 3]]]]}',
            "a float": b'{"signature_name": "floats", "instances": [%s]}',
        }.items()
    },
    "a float that is too large for its type": (post(b'{"signature_name": "floats", "instances": [1e300]}'), 400),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_nonsense_gets_a_clear_answer_and_hurts_nobody(server, name):
    data, expected = MALFORMED[name]
    with server.connect() as connection, contextlib.closing(server.connect()) as other:
        connection.sendall(data)
        status, headers, answer = read(connection)
        assert status == expected
        assert list(answer) == ["error"]
        assert "\n" not in answer["error"]
        assert headers["Content-Type"] == "application/json"
        other.sendall(post(ONE))
        assert read(other)[::2] == (200, ANSWER)
    status, _headers, text = server.get("/metrics")
    assert f'deeplab_requests_total{{code="{expected}"}}' in text.decode()


@pytest.mark.parametrize(
    "data",
    [
        GET,
        head("GET http://a/healthz HTTP/1.1", "Host: a"),
        head("GET /healthz HTTP/1.0"),
        head("HEAD /healthz HTTP/1.1", "Host: a"),
        post(ONE),
        post(ONE, path="/v1/models/deeplab/versions/1:predict"),
        CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in ONE) + b"0\r\n\r\n",
    ],
)
def test_what_is_legal_is_served(server, data):
    with server.connect(data) as connection:
        assert read(connection, "HEAD" if data.startswith(b"HEAD") else "POST")[0] == 200


def test_requests_in_a_row_are_answered_in_their_order(server):
    bodies = [b'{"instances": [[[[%d, 2, 3]]]]}' % red for red in range(20)]
    data = b"".join(post(body) for body in bodies) + GET + head("GET /nothing HTTP/1.1", "Host: a", "Connection: close")
    with server.connect() as connection:
        for start in range(0, len(data), 700):  # which cuts requests anywhere
            connection.sendall(data[start : start + 700])
        stream = Stream(connection)
        answers = [read(stream) for _ in range(22)]
        assert [answer[2] for answer in answers[:20]] == [{"predictions": [[[red]]]} for red in range(20)]
        assert [answer[0] for answer in answers[20:]] == [200, 404]
        assert stream.read() == b""


def test_a_connection_is_kept_while_it_is_used(server):
    """For twice as long as one request may take to be read."""
    with server.connect() as connection:
        end, count = time.monotonic() + 2 * server.application.config.read_timeout_secs, 0
        while time.monotonic() < end:
            connection.sendall(post(ONE))
            assert read(connection)[::2] == (200, ANSWER)
            time.sleep(0.05)
            count += 1
        assert count > 5


def test_each_request_has_a_time_limit_of_its_own(server):
    """Its clock starts with its first byte; a byte every now and then does not stop it."""
    with server.connect(post(ONE)) as connection:
        assert read(connection)[0] == 200
        time.sleep(0.7)
        start = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in post(ONE) * 3:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
                if time.monotonic() - start > 1.2:
                    break
        status, headers, _answer = read(connection)
        assert (status, headers["Connection"]) == (408, "close")


def test_who_waits_for_an_answer_is_not_cut():
    with running(read_timeout_secs=0.2, idle_timeout_secs=0.3) as server:
        server.model.gate.clear()
        with server.connect(post(ONE)) as connection:
            time.sleep(0.8)
            server.model.gate.set()
            assert read(connection)[::2] == (200, ANSWER)


def test_idle_connections_are_closed_after_their_own_time():
    with running(read_timeout_secs=30.0, idle_timeout_secs=0.3) as server:
        with server.connect() as fresh, server.connect(post(ONE)) as used:
            assert read(used)[0] == 200
            assert is_closed(used)
            assert is_closed(fresh)
        wait_until(lambda: len(server.room) == 0)


def test_a_client_that_still_sends_can_read_its_refusal(server):
    """The connection is not reset while bytes of the client are on their way."""
    start = head(f"POST {ROUTE} HTTP/1.1", "Host: a", "Content-Length: 30000000")
    with server.connect(start) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(50):
                connection.sendall(bytes(20_000))
        assert read(connection)[0] == 413


def test_an_answer_before_the_body_ends_the_connection(server):
    with server.connect(head("POST /nothing HTTP/1.1", "Host: a", "Content-Length: 1000") + b"{") as connection:
        assert read(connection)[0] == 404
        assert is_closed(connection)


def test_a_client_that_does_not_take_its_answer_is_cut():
    with running(read_timeout_secs=0.3) as server, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(post(files(LARGE)))
        wait_until(lambda: server.model.runs)
        wait_until(lambda: len(server.room) == 0)


def test_answers_are_sent_at_once(server):
    """An accepted socket sends the second part of an answer without waiting for the first to be acknowledged."""
    with server.connect(GET) as connection:
        assert read(connection)[0] == 200
        (kept,) = [one for one in server.server.server_state.connections if one.client == connection.getsockname()]
        assert kept.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_many_requests_on_kept_connections():
    with running() as server:
        connections = [server.connect() for _ in range(4)]
        for _ in range(100):
            for connection in connections:
                connection.sendall(post(ONE))
            assert all(read(connection)[::2] == (200, ANSWER) for connection in connections)
        for connection in connections:
            connection.close()
        assert fake_server.get(server.port, "/healthz")[0] == 200
