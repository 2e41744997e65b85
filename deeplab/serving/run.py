"""Starts the HTTP server, and stops it on SIGTERM: what is being computed is answered, the rest is refused."""

import asyncio
import functools
import math
import os
import signal
import socket
import sys
import threading
import warnings

import uvicorn
from PIL import Image

from deeplab import devices
from deeplab.errors import UserError
from deeplab.inference import export_folder
from deeplab.serving.app import Application
from deeplab.serving.computing.model import ServedModel
from deeplab.serving.connections import room
from deeplab.serving.connections.protocol import Protocol
from deeplab.serving.guard import access, request_log, tls

# Parts of --stop_timeout_secs: when requests that are still being computed are refused, when connections are cut.
_ANSWERED, _CUT = 0.75, 0.85
_TOLD_EVERY_SECS = 60.0
_BACKLOG = 2048  # connections that wait to be accepted. The system drops further ones, whose clients try again later.


@devices.as_configured
def serve(config):
    """Serves what `config`, a `ServeConfig`, says until SIGTERM or SIGINT.

    Raises:
      UserError: there is no SavedModel, or the address is taken.
    """
    devices.share_freed_memory()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked before anything is decoded
    tls.options(config)
    access.guarded(None, config)
    if not any(export_folder.candidates(config.saved_model)):
        raise export_folder.no_version(config.saved_model)
    listener = _bind(config)
    access.warn_if_open(config)
    application = Application(config, functools.partial(export_folder.candidates, config.saved_model), ServedModel)
    # uvicorn handles SIGTERM itself and raises it again at its end. Without a handler the exit code would not be 0.
    signal.signal(signal.SIGTERM, lambda *_: None)
    http_server(application).run(sockets=[listener])


def http_server(application):
    """Returns the uvicorn server that runs an `Application`."""
    config, places = application.config, room.of_this_process()
    write = request_log.Writer() if config.access_log else None
    options = uvicorn.Config(
        request_log.RequestLog(access.guarded(application.asgi(), config, application.refused), write),
        host=config.host,
        port=config.port,
        http=Protocol.of(application, places, write),
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        **tls.options(config),
        backlog=max(1, places.spare // 4),  # so many are accepted at a time; `startup` sets how many may wait
        timeout_keep_alive=config.idle_timeout_secs,
        timeout_graceful_shutdown=config.stop_timeout_secs,
    )
    return _HttpServer(options, application)


def _bind(config):
    """Returns a socket that has the address. It does not listen yet.

    It is bound before the model is loaded, so that a taken port is reported at once.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets whose protocol is told. Without it, the second part of an answer waits
    # until the client's system has acknowledged the first one, which it may delay by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
    """A server of uvicorn that prints its address as soon as it listens, and ends in time.

    Args:
      config: a `uvicorn.Config`.
      application: an `Application`.
    """

    def __init__(self, config, application):
        super().__init__(config)
        self._application = application

    async def startup(self, sockets=None):
        asyncio.get_running_loop().set_exception_handler(_OutOfFiles())
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(_BACKLOG)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            print(f"Serving on {scheme}://{f'[{host}]' if ':' in host else host}:{port}/", flush=True)

    async def shutdown(self, sockets=None):
        """Answers what is being computed, and refuses the rest; see --stop_timeout_secs."""
        seconds = self._application.config.stop_timeout_secs
        self._application.stop(_ANSWERED * seconds)
        asyncio.get_running_loop().call_later(_CUT * seconds, self._cut)
        await super().shutdown(sockets)

    def _cut(self):
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def handle_exit(self, sig, frame):
        """Stops at the first signal, and ends the process at the second one, or when the time for stopping is over.

        Nothing can interrupt a thread that computes. So the process does not wait for it when the time is over.
        """
        if self.should_exit:
            _end_process(128 + sig)
        super().handle_exit(sig, frame)
        code = 0 if sig == signal.SIGTERM else 128 + sig
        timer = threading.Timer(self._application.config.stop_timeout_secs, _end_process, [code])
        timer.daemon = True
        timer.start()


def _end_process(code):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _OutOfFiles:
    """Prints one line when there are no descriptors for further connections, where asyncio prints many tracebacks.

    asyncio then waits for a second before it accepts connections again.
    """

    def __init__(self):
        self._told = -math.inf

    def __call__(self, loop, context):
        if "out of system resource" not in context.get("message", ""):
            loop.default_exception_handler(context)
        elif loop.time() - self._told > _TOLD_EVERY_SECS:
            self._told = loop.time()
            message = f"warning: a new connection has to wait ({context.get('exception')}); see ulimit -n"
            print(message, file=sys.stderr, flush=True)
