"""Starts the HTTP server and ends it: what was accepted is answered first."""

import functools
import signal
import socket
import warnings

import uvicorn
from PIL import Image
from uvicorn.protocols.http.h11_impl import H11Protocol

from deeplab.errors import UserError
from deeplab.inference import exports
from deeplab.serving.app import Server
from deeplab.serving.model import Model

_MAX_CONNECTIONS = 512
_GRACE_SECS = 5  # beyond the time limit of a request


def run(config):
    """Serves until SIGTERM or SIGINT."""
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked before anything is decoded
    find = functools.partial(exports.newest, config.saved_model)
    if find() is None:
        raise UserError(f"--saved_model={config.saved_model}: no SavedModel there; name DIR or DIR/VERSION")
    listener = _bind(config)
    try:
        server = Server(config, find, Model)
    except OSError as error:
        raise UserError(f"--saved_model={config.saved_model}: not a SavedModel ({error})") from None
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn handles it, then raises it again: end with code 0
    http(server).run(sockets=[listener])


def _bind(config):
    """Returns a socket with the address, which must be free before the model is loaded; nothing listens yet."""
    listener = socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        where = f"--host={config.host} --port={config.port}"
        raise UserError(
            f"{where}: cannot listen there ({error.strerror}); another --port, or 0 for a free one"
        ) from None
    return listener


def http(server):
    """Returns the uvicorn server of a `Server`."""
    config = server.config
    protocol = type("Protocol", (_Protocol,), {"header_secs": config.read_timeout_secs})
    return _Server(
        uvicorn.Config(
            server.app(),
            host=config.host,
            port=config.port,
            http=protocol,
            ws="none",
            log_level="warning",
            access_log=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=int(config.request_timeout_secs + _GRACE_SECS),
        )
    )


class _Server(uvicorn.Server):
    """Tells where it listens, once it does."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            print(f"Serving on http://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)


class _Protocol(H11Protocol):
    """Cuts off clients that do not finish a request's headers; uvicorn itself would wait for ever."""

    header_secs = 20.0
    _timer = None

    def connection_made(self, transport):
        super().connection_made(transport)
        self._watch()

    def data_received(self, data):
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc):
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self):
        if self._timer is None and self._idle():
            self._timer = self.loop.call_later(self.header_secs, self._cut)

    def _cut(self):
        self._timer = None
        if self._idle() and not self.transport.is_closing():
            self.transport.abort()

    def _idle(self):
        return self.cycle is None or self.cycle.response_complete
