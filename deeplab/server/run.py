"""Starts the HTTP server and ends it: what was accepted is answered first."""

import functools
import signal

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from deeplab.errors import UserError
from deeplab.server.app import Server
from deeplab.server.model import Model, newest

_MAX_CONNECTIONS = 512
_GRACE_SECS = 5  # beyond the time limit of a request


def run(config):
    """Serves until SIGTERM or SIGINT."""
    find = functools.partial(newest, config.saved_model)
    if find() is None:
        raise UserError(f"--saved_model={config.saved_model}: no SavedModel there; name DIR or DIR/VERSION")
    try:
        server = Server(config, find, Model)
    except OSError as error:
        raise UserError(f"--saved_model={config.saved_model}: not a SavedModel ({error})") from None
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn handles it, then raises it again: end with code 0
    print(
        f"Serving {config.model_name} version {server.model.version} on http://{config.host}:{config.port}/", flush=True
    )
    http(server).run()


def http(server):
    """Returns the uvicorn server of a `Server`."""
    config = server.config
    protocol = type("Protocol", (_Protocol,), {"header_secs": config.read_timeout_secs})
    return uvicorn.Server(
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
