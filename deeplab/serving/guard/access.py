"""Who may ask: the checks of Host, Origin and token that stand before the application, and the headers of its answers.

A browser lets every web site send requests to every address, a server on 127.0.0.1 included. Therefore a request has to
name this server in `Host`, so that a site whose name was made to lead here (DNS rebinding) is refused, and `Origin`,
which browsers send with requests of pages, has to be this server or a site of `--cors_origins`.

Sources: RFC 9110 section 7.2 (Host), RFC 6454 (Origin), RFC 6750 (Bearer), the Fetch standard (CORS).
"""

import ipaddress
import re
import socket
import sys

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse

from deeplab.serving.guard.secret_files import Tokens

HEALTH = ("/healthz", "/readyz")  # load balancers ask for these by address and without a token; they tell nothing
_WITHOUT_TOKEN = (*HEALTH, "/")  # a browser cannot send a token when it opens the page, which holds no secret
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
POLICY = "default-src 'none'; frame-ancestors 'none'"  # of answers that are no page
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")
_CORS_HEADERS = ("Authorization", "Content-Type", "X-Request-Id")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ANY_ADDRESS = ("0.0.0.0", "::", "")


def guarded(app, config, refused=lambda status: None):
    """Returns the ASGI application `app` behind the checks that `config`, a `ServeConfig`, asks for.

    Args:
      app: the application.
      config: the options.
      refused: function that is called with the status of each answer that the checks give.

    Raises:
      UserError: the file of tokens cannot be used.
    """
    if config.auth_token_file:
        app = _TokenCheck(app, Tokens(config.auth_token_file), refused)
    if config.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=config.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=_CORS_HEADERS,
            expose_headers=("X-Request-Id", "Retry-After"),
        )
    return _WithHeaders(_SiteCheck(app, _own_names(config), frozenset(config.cors_origins), refused))


def warn_if_open(config):
    """Prints a warning if others than this machine's users reach the server, without a token or without encryption."""
    if _is_loopback(config.host):
        return
    text = ""
    if not config.auth_token_file:
        text = "everybody who reaches this address may send requests; --auth_token_file lets only some"
    elif not config.tls_certificate:
        text = "tokens and pictures travel unencrypted; --tls_certificate, or a proxy in front, encrypts them"
    if text:
        print(f"warning: --host={config.host}: {text} (SECURITY.md)", file=sys.stderr, flush=True)


def _own_names(config):
    """Returns the names, in lower case, by which clients may address the server, besides addresses."""
    names = {"localhost", config.host, *config.allowed_hosts}
    if not _is_loopback(config.host):
        names |= {socket.gethostname(), socket.getfqdn()}
    return frozenset(name.lower().rstrip(".") for name in names)


def _is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class _WithHeaders:
    """Adds the headers that keep an answer from being framed, stored, or taken for something else."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", POLICY)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _SiteCheck:
    """Refuses requests that address another server, and those of pages of other sites, with 403.

    Args:
      app: the ASGI application behind the check.
      names: the server's own names, in lower case.
      origins: the other sites whose pages may ask.
      refused: as of `guarded`.
    """

    def __init__(self, app, names, origins, refused):
        self._app, self._names, self._origins, self._refused = app, names, origins, refused

    async def __call__(self, scope, receive, send):
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem:
            self._refused(403)
        await (JSONResponse({"error": problem}, 403) if problem else self._app)(scope, receive, send)

    def _problem(self, scope):
        """Returns why a request is refused, or None."""
        if scope["path"] in HEALTH:
            return None
        hosts, origins = _values(scope, b"host"), _values(scope, b"origin")
        # A request without Host (HTTP/1.0) comes from no browser.
        match = _HOST.fullmatch(hosts[0]) if hosts else None
        if len(hosts) > 1 or (hosts and not match):
            return "Malformed Host"
        if match and not self._is_own(match["name"]):
            return f"Host {match['name'][:100]!r} is not a name of this server, which --allowed_hosts may give it"
        own = {origin for scheme in _DEFAULT_PORTS for origin in _origins_of(scheme, hosts)}
        if any(origin not in self._origins and origin.lower() not in own for origin in origins):
            return "A page of another site may not use this server; --cors_origins may allow it"
        return None

    def _is_own(self, name):
        """Tells whether a name in Host is the server's. Addresses are: only names can be made to lead elsewhere."""
        name = name.lower().rstrip(".")
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def _origins_of(scheme, hosts):
    """Returns the origins of pages that this server itself sends under the names in `hosts`, as browsers write them."""
    for host in hosts:
        name, port = host.lower(), f":{_DEFAULT_PORTS[scheme]}"
        yield f"{scheme}://{name.removesuffix(port)}"


def _values(scope, name):
    return [value.decode("latin-1").strip() for key, value in scope["headers"] if key == name]


class _TokenCheck:
    """Answers 401 to requests without a token that is known."""

    def __init__(self, app, tokens, refused):
        self._app, self._tokens, self._refused = app, tokens, refused

    async def __call__(self, scope, receive, send):
        app = self._app
        if scope["type"] == "http" and scope["path"] not in _WITHOUT_TOKEN and not self._may_ask(scope):
            self._refused(401)
            app = JSONResponse({"error": "A token is needed: Authorization: Bearer TOKEN"}, 401, _CHALLENGE)
        await app(scope, receive, send)

    def _may_ask(self, scope):
        given = [value for key, value in scope["headers"] if key == b"authorization"]
        return len(given) == 1 and self._tokens.hold(given[0])


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="deeplab"'}
