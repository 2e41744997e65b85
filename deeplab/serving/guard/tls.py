"""The certificate and the key of https, checked before a model is loaded."""

import ssl

from deeplab.errors import UserError
from deeplab.serving.guard.secret_files import refuse_public


def options(config):
    """Returns the options of uvicorn for the certificate in `config`, a `ServeConfig`; {} without one.

    Raises:
      UserError: a file cannot be read, everybody may read the key, or the two do not fit.
    """
    if not config.tls_certificate:
        return {}
    refuse_public("tls_key", config.tls_key)
    files = f"--tls_certificate={config.tls_certificate} --tls_key={config.tls_key}"
    try:
        # With the empty password, a key that needs one is an error. OpenSSL would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(config.tls_certificate, config.tls_key, lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        expected = "expected a certificate chain and its private key without a password, both PEM"
        raise UserError(f"{files}: cannot be used ({reason}); {expected}") from None
    return {"ssl_certfile": config.tls_certificate, "ssl_keyfile": config.tls_key}
