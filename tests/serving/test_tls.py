"""https by a certificate of the user's, over real sockets."""

import http.client
import os
import shutil
import ssl
import subprocess

import pytest

from deeplab.config.serve import ServeConfig
from deeplab.errors import UserError

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving.guard import tls
from helpers.served import Served


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
