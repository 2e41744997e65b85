"""Starts the HTTP server, and stops it on SIGTERM: every request that was accepted is answered first."""

import functools
import signal
import socket
import warnings

import uvicorn
from PIL import Image
from uvicorn.protocols.http.h11_impl import H11Protocol

from deeplab import devices
from deeplab.errors import UserError
from deeplab.inference import exports
from deeplab.serving import access, request_log, tls
from deeplab.serving.app import Application
from deeplab.serving.model import ServedModel

_MAX_CONNECTIONS = 512
_GRACE_SECS = 5  # when it stops, requests get this much more than the time limit of a request


@devices.as_configured
def serve(config):
    """Serves what `config`, a `ServeConfig`, says until SIGTERM or SIGINT.

    Raises:
      UserError: there is no SavedModel, or the address is taken.
    """
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked before anything is decoded
    tls.options(config)
    access.guarded(None, config)
    if not any(exports.candidates(config.saved_model)):
        raise exports.no_version(config.saved_model)
    listener = _bind(config)
    access.warn_if_open(config)
    application = Application(config, functools.partial(exports.candidates, config.saved_model), ServedModel)
    # uvicorn handles SIGTERM itself and raises it again at its end. Without a handler the exit code would not be 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    http_server(application).run(sockets=[listener])


def http_server(application):
    """Returns the uvicorn server that runs an `Application`."""
    config = application.config
    write = request_log.Writer() if config.access_log else None
    app = request_log.RequestLog(access.guarded(application.asgi(), config), write)
    protocol = type("Protocol", (_Protocol,), {"header_secs": config.read_timeout_secs})
    return _HttpServer(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            http=protocol,
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            **tls.options(config),
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=int(config.request_timeout_secs + _GRACE_SECS),
        )
    )


def _bind(config):
    """Returns a socket that has the address. It does not listen yet.

    It is bound before the model is loaded, so that a taken port is reported at once.
    """
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


class _HttpServer(uvicorn.Server):
    """A server of uvicorn that prints its address as soon as it listens."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            print(f"Serving on {scheme}://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)


class _Protocol(H11Protocol):
    """A connection that is closed if the client does not finish a request's headers in `header_secs`.

    uvicorn has no limit for them, so that a few hundred slow clients would take all connections.
    """

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
        """Starts the clock while the connection waits for headers."""
        if self._timer is None and self._idle():
            self._timer = self.loop.call_later(self.header_secs, self._cut)

    def _cut(self):
        """Closes the connection if it still waits for headers."""
        self._timer = None
        if self._idle() and not self.transport.is_closing():
            self.transport.abort()

    def _idle(self):
        """Tells whether no request is being answered on this connection."""
        return self.cycle is None or self.cycle.response_complete
