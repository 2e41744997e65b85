"""Who may ask: Host, Origin, tokens, and the headers of answers, over real sockets."""

import base64
import hashlib
import os
import re

import pytest

from deeplab.config.serve import ServeConfig
from deeplab.errors import UserError

pytest.importorskip("uvicorn", reason="pip install uvicorn")

from deeplab.serving.guard import access, secret_files
from helpers.served import TOKEN, Served

OTHER = "another.token_of~32+letters/0123="


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
