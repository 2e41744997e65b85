"""The nginx configuration of SECURITY.md in front of a server; skipped where nginx or openssl is not installed."""

import http.client
import re
import shutil
import ssl
import subprocess
import time

import pytest

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from helpers import ports
from helpers.places import ROOT
from helpers.served import TOKEN, Served
from serving.test_tls import certificate  # noqa: F401

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_the_documented_proxy_passes_on_what_the_server_checks(certificate, tmp_path):  # noqa: F811
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text(TOKEN)
    with Served(allowed_hosts=("localhost",), auth_token_file=str(tokens)) as server:
        port = start_nginx(tmp_path, server.port, certificate)

        def ask(path, **headers):
            trusted = ssl.create_default_context(cafile=certificate[0])
            connection = http.client.HTTPSConnection("localhost", port, context=trusted, timeout=30)
            return server.ask(path, connection=connection, **{"Host": f"localhost:{port}", **headers})

        try:
            status, headers, answer = ask("/v1/models/x", Authorization=f"Bearer {TOKEN}")
            assert (status, answer["id"]) == (200, headers["X-Request-Id"])
            assert re.fullmatch("[0-9a-f]{32}", answer["id"])  # nginx chose it
            assert headers["Cache-Control"] == "no-store"
            assert ask("/v1/models/x", Authorization=f"Bearer {TOKEN}", Origin=f"https://localhost:{port}")[0] == 200
            assert ask("/v1/models/x")[0] == 401
            assert ask("/v1/models/x", Authorization=f"Bearer {TOKEN}", Origin="https://evil.example")[0] == 403
            assert ask("/v1/models/x", Authorization=f"Bearer {TOKEN}", Host="evil.example")[0] == 403
            assert ask("/")[0] == 200
        finally:
            subprocess.run([NGINX, "-p", str(tmp_path), "-c", "nginx.conf", "-s", "stop"], check=True)


def start_nginx(folder, port_of_server, files):
    """Starts nginx with the documented configuration on a free port, which is returned."""
    port = ports.free_ports(1)[0]
    text = re.search(r"```nginx\n(.*?)```", PAGE, re.DOTALL)[1]
    chain, key = files
    for documented, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("segment.example.org", "localhost"),
        ("/etc/ssl/segment/chain.pem", chain),
        ("/etc/ssl/segment/key.pem", key),
        ("127.0.0.1:8501", f"127.0.0.1:{port_of_server}"),
    ):
        assert documented in text
        text = text.replace(documented, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid;\nerror_log {folder}/errors;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{text}}}\n"
    )
    subprocess.run([NGINX, "-p", str(folder), "-c", "nginx.conf"], check=True)
    for _ in range(100):
        if (folder / "pid").exists():
            break
        time.sleep(0.05)
    return port
