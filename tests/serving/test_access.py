"""Who may ask: Host, Origin, tokens, https, the headers of answers and the log, over real sockets."""

import asyncio
import base64
import functools
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
import types

import pytest

from deeplab.config.serve import ServeConfig
from deeplab.errors import UserError

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from deeplab.serving import page
from deeplab.serving.guard import access, request_log, secret_files, tls
from deeplab.serving.run import http_server

TOKEN, OTHER = "a-token-of-32-letters-and-digits", "another.token_of~32+letters/0123="


async def _answer(request):
    return JSONResponse({"body": len(await request.body()), "id": request_log.current()})


class Served:
    """A server in a thread whose application answers everything; the options are flags."""

    def __init__(self, **options):
        config = ServeConfig("unused", **{"port": 0, "access_log": False, **options})
        routes = [
            Route("/", functools.partial(page.page, None)),
            Route("/{path:path}", _answer, methods=["GET", "POST"]),
        ]
        self.server = http_server(
            types.SimpleNamespace(
                config=config,
                asgi=lambda: Starlette(routes=routes),
                stop=lambda seconds: None,
                refused=lambda status: None,
            )
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(30)

    def ask(self, path="/v1/models", method="GET", connection=None, **headers):
        """Returns (status, headers, JSON or text); None as the value of a header leaves it out."""
        connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        host = headers.pop("Host", f"127.0.0.1:{self.port}")
        connection.putrequest(method, path, skip_host=True)
        for name, value in {"Host": host, **headers}.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, json.loads(content) if content.startswith("{") else content


@pytest.fixture(scope="module")
def served():
    with Served() as server:
        yield server


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# two clients\n{TOKEN}\n\n {OTHER} \n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8501", 200),
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("page.localhost:3", 200),
        ("[::1]:8501", 200),
        ("192.168.1.7:8501", 200),  # an address cannot be made to lead elsewhere
        ("evil.example", 403),
        ("evil.example:8501", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("a b", 403),
        ("", 403),
    ],
)
def test_a_name_of_another_server_is_refused(served, host, status):
    code, _headers, answer = served.ask(Host=host)
    assert code == status
    assert status == 200 or list(answer) == ["error"]
    assert served.ask("/healthz", Host=host)[0] == 200  # load balancers ask by the address of a container


def test_the_machine_has_its_own_name_only_on_the_network(monkeypatch):
    monkeypatch.setattr(access.socket, "gethostname", lambda: "Box")
    monkeypatch.setattr(access.socket, "getfqdn", lambda: "box.lan")
    names = lambda **options: access._own_names(ServeConfig("unused", **options))  # noqa: E731
    assert names() == {"localhost", "127.0.0.1"}
    assert names(host="0.0.0.0") == {"localhost", "0.0.0.0", "box", "box.lan"}
    assert "proxy.example.org" in names(allowed_hosts=("Proxy.example.org",))


def test_a_name_that_a_flag_gives_is_the_servers():
    with Served(allowed_hosts=("segment.example.org",)) as server:
        assert server.ask(Host="Segment.Example.org:443")[0] == 200
        assert server.ask(Host="example.org")[0] == 403


def test_a_page_of_another_site_is_refused(served):
    own = f"127.0.0.1:{served.port}"
    assert served.ask(Origin=f"http://{own}")[0] == 200
    assert served.ask(Host="localhost", Origin="http://localhost")[0] == 200
    assert served.ask(Host="localhost:443", Origin="https://localhost")[0] == 200
    for origin in ("https://evil.example", "null", f"http://localhost:{served.port}", "http://127.0.0.1", "x", ""):
        status, headers, answer = served.ask(method="POST", Origin=origin, Content_Length="0")
        assert (status, list(answer)) == (403, ["error"])
        assert "Access-Control-Allow-Origin" not in headers
    preflight = {"Origin": "https://evil.example", "Access_Control_Request_Method": "POST"}
    assert served.ask(method="OPTIONS", **preflight)[0] == 403


def test_a_site_that_a_flag_names_may_ask(token_file):
    site = "https://app.example.org"
    asked = {"Origin": site, "Access_Control_Request_Method": "POST"}
    with Served(cors_origins=(site,), auth_token_file=str(token_file)) as server:
        wanted = {"Access_Control_Request_Headers": "authorization, content-type"}
        status, headers, _answer = server.ask(method="OPTIONS", **asked, **wanted)  # a preflight has no token
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, site)
        assert "authorization" in headers["Access-Control-Allow-Headers"].lower()
        status, headers, _answer = server.ask(Origin=site)
        assert (status, headers["Access-Control-Allow-Origin"]) == (401, site)  # the site may read why
        status, headers, _answer = server.ask(Origin=site, Authorization=f"Bearer {TOKEN}")
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, site)
        assert server.ask(Origin="https://app.example.org.evil.example", Authorization=f"Bearer {TOKEN}")[0] == 403


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN},{TOKEN}",
        "Bearer # two clients",
        "Bearer " + "x" * 10_000,
    ],
)
def test_without_a_known_token_nothing_but_health_and_the_page_is_answered(token_server, given):
    for path in ("/v1/models/deeplab", "/metrics", "/page/model", "/page/segment", "//", "/healthz/", "/readyz/../x"):
        status, headers, answer = token_server.ask(path, Authorization=given)
        assert (status, list(answer)) == (401, ["error"])
        assert headers["WWW-Authenticate"].startswith("Bearer")
    for path in ("/healthz", "/readyz", "/"):
        assert token_server.ask(path, Authorization=given)[0] == 200


@pytest.fixture(scope="module")
def token_server(tmp_path_factory):
    path = tmp_path_factory.mktemp("token") / "tokens"
    path.write_text(f"# two clients\n{TOKEN}\n{OTHER}\n")
    path.chmod(0o600)
    with Served(auth_token_file=str(path)) as server:
        yield server


def test_each_token_of_the_file_is_taken(token_server):
    for token in (TOKEN, OTHER):
        assert token_server.ask(Authorization=f"Bearer {token}")[0] == 200
        assert token_server.ask("/metrics", Authorization=f"bearer  {token}")[0] == 200


def test_a_file_of_tokens_is_read_again_when_it_changes(token_file, monkeypatch, capsys):
    monkeypatch.setattr(secret_files, "_LOOK_SECS", 0)
    tokens = secret_files.Tokens(str(token_file))
    assert tokens.hold(f"Bearer {TOKEN}".encode())
    token_file.write_text("a-new-token-0123456789\n")
    assert not tokens.hold(f"Bearer {TOKEN}".encode())
    assert tokens.hold(b"Bearer a-new-token-0123456789")
    token_file.write_text("")
    assert tokens.hold(b"Bearer a-new-token-0123456789")  # an editor may just be writing it
    assert tokens.hold(b"Bearer a-new-token-0123456789")
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "holds no token" in said[0]
    token_file.unlink()
    assert tokens.hold(b"Bearer a-new-token-0123456789")
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0o600, "cannot be read"),
        ("", 0o600, "holds no token"),
        ("\n# only this\n", 0o600, "holds no token"),
        ("short", 0o600, "line 1 is no token"),
        (f"{TOKEN}\ntwo words that are long enough\n", 0o600, "line 2 is no token"),
        (TOKEN, 0o644, "every user of this machine may read"),
        (TOKEN, 0o602, "may read or change it"),
        ("x" * (1 << 20) + "xx", 0o600, "has more than"),
    ],
)
def test_a_file_without_usable_tokens_is_refused(tmp_path, content, mode, words):
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(UserError, match=words) as refused:
        secret_files.Tokens(str(path))
    assert "two words" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_pipe_as_a_file_of_tokens_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "tokens", 0o600)
    with pytest.raises(UserError, match="is no regular file"):
        secret_files.Tokens(str(tmp_path / "tokens"))


def test_every_answer_has_the_headers_that_browsers_heed(served, token_server):
    answers = [served.ask(), served.ask("/"), served.ask(Host="evil.example"), token_server.ask()]
    answers.append(served.ask(method="DELETE"))
    assert [status for status, _headers, _answer in answers] == [200, 200, 403, 401, 405]
    for _status, headers, _answer in answers:
        for name, value in access.HEADERS.items():
            assert headers.get_all(name) == [value]
        assert len(headers.get_all("Content-Security-Policy")) == len(headers.get_all("X-Request-Id")) == 1
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Server" not in headers


def test_the_page_runs_no_script_but_its_own(served):
    _status, headers, text = served.ask("/")
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        parts = re.findall(f"<{tag}[^>]*>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(parts[0].encode()).digest()).decode()
        assert len(parts) == 1
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""\s(style|on[a-z]+)=["']""", text)  # the policy would forbid attributes with code


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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Returns the files of a certificate for localhost that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("needs the program openssl")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = str(folder / "chain.pem"), str(folder / "key.pem")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, "-keyout", key, "-out", chain, *names]
    subprocess.run(command, check=True, capture_output=True)
    os.chmod(key, 0o600)
    return chain, key


def test_https_by_a_certificate_of_ones_own(certificate, capfd):
    chain, key = certificate
    with Served(tls_certificate=chain, tls_key=key) as server:
        trusted = ssl.create_default_context(cafile=chain)
        connection = http.client.HTTPSConnection("localhost", server.port, context=trusted, timeout=30)
        own = f"localhost:{server.port}"
        assert server.ask(connection=connection, Host=own, Origin=f"https://{own}")[0] == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            server.ask()  # plain http is not answered
    assert f"Serving on https://127.0.0.1:{server.port}/" in capfd.readouterr().out


def test_certificates_that_cannot_be_used_are_told_in_one_line(certificate, tmp_path):
    chain, key = certificate
    sealed, public, text = str(tmp_path / "sealed.pem"), str(tmp_path / "public.pem"), str(tmp_path / "text")
    subprocess.run(["openssl", "ec", "-in", key, "-out", sealed, "-aes128", "-passout", "pass:word"], check=True,
                   capture_output=True)  # fmt: skip
    shutil.copy(key, public)
    os.chmod(public, 0o644)
    (tmp_path / "text").write_text("no key")
    os.chmod(text, 0o600)
    for files, words in (
        ((chain, sealed), "without a password"),
        ((chain, public), "every user of this machine may read"),
        ((chain, text), "cannot be used"),
        ((text, key), "cannot be used"),
        (("missing", key), "No such file"),
        ((chain, "missing"), "cannot be read"),
    ):
        with pytest.raises(UserError, match=words) as refused:
            tls.options(ServeConfig("unused", tls_certificate=files[0], tls_key=files[1]))
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ""),
        ({"host": "localhost"}, ""),
        ({"host": "0.0.0.0"}, "everybody who reaches this address"),
        ({"host": "::", "auth_token_file": "t"}, "unencrypted"),
        ({"host": "10.0.0.1", "auth_token_file": "t", "tls_certificate": "c", "tls_key": "k"}, ""),
    ],
)
def test_an_open_server_is_warned_of(options, words, capsys):
    access.warn_if_open(ServeConfig("unused", **options))
    said = capsys.readouterr().err
    assert words in said
    assert bool(said) == bool(words)


@pytest.mark.parametrize(
    "options",
    [
        {"tls_certificate": "a"},
        {"tls_key": "a"},
        {"allowed_hosts": ("example.org:80",)},
        {"allowed_hosts": ("*",)},
        {"cors_origins": ("*",)},
        {"cors_origins": ("app.example.org",)},
        {"cors_origins": ("https://app.example.org/",)},
    ],
)
def test_flags_that_would_not_mean_what_they_say_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        ServeConfig("unused", **options)
