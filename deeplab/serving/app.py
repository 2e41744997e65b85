"""The routes of the server, the version that it serves, and what is counted."""

import asyncio
import contextlib
import sys
import time

import prometheus_client as prometheus
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deeplab.errors import UserError
from deeplab.inference import two_at_once
from deeplab.serving import page, request_log, rest
from deeplab.serving.batching import Batcher
from deeplab.serving.budget import Budget
from deeplab.serving.contract import Refusal
from deeplab.serving.versions import Versions
from deeplab.serving.workers import Workers

_BODIES_IN_FLIGHT = 16  # the bodies of all requests together may take this many times max_request_bytes


class Application:
    """Answers requests with the newest version of a model.

    Args:
      config: a `ServeConfig`.
      find: function () -> the versions there are now, the newest first: `exports.candidates` of a folder.
      load: function (path, version number) -> a `ServedModel`.
    """

    def __init__(self, config, find, load):
        self.config, self._load = config, load
        self._versions = Versions(config.saved_model, find, self._loaded)
        self.model = self._versions.first()
        self._body_bytes = 0
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        kwargs = {"registry": self.registry}
        self._answers = prometheus.Counter("deeplab_requests", "Requests by status.", ["code"], **kwargs)
        self._seconds = prometheus.Histogram("deeplab_request_seconds", "Seconds of a request.", **kwargs)
        self._in_flight = prometheus.Gauge("deeplab_requests_in_flight", "Requests not yet answered.", **kwargs)
        self._batches = prometheus.Histogram(
            "deeplab_batch_size", "Images per run.", buckets=(1, 2, 4, 8, 16, 32), **kwargs
        )
        prometheus.Gauge("deeplab_model_version", "Version served.", **kwargs).set_function(lambda: self.model.version)
        queue = prometheus.Gauge("deeplab_queue_length", "Requests that wait.", **kwargs)
        queue.set_function(lambda: len(self.batcher))
        held = prometheus.Gauge("deeplab_held_bytes", "Bytes of memory that requests hold.", **kwargs)
        held.set_function(lambda: self.budget.held)
        self.batcher = self.workers = None
        self.budget = Budget(config.memory_budget_bytes, config.max_pixels)

    def _loaded(self, path, version):
        model = self._load(path, version)
        print(f"Loaded {self.config.model_name} version {version}: {path}", flush=True)
        if model.input_size.fit_into:
            print(model.input_size, flush=True)
        return model

    def asgi(self):
        """Returns the ASGI application, which a server such as uvicorn runs."""
        routes = [
            Route("/", self._answer(page.page)),
            Route("/page/segment", self._answer(page.segment), methods=["POST"]),
            Route("/page/model", self._answer(page.about)),
            Route("/healthz", self._answer(Application.health)),
            Route("/readyz", self._answer(Application.health)),
            Route("/metrics", self.metrics),
            Route("/v1/models/{path:path}", self._answer(rest.models), methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app):
        self.batcher = Batcher(self.config, self._batches.observe, two_at_once.networks())
        tasks = [asyncio.create_task(self.batcher.serve()), asyncio.create_task(self._watch())]
        self.workers = Workers(self.config)
        yield
        for task in tasks:
            task.cancel()
        self.workers.close()

    async def _watch(self):
        """Looks for a new version again and again, and loads it before it replaces the old one.

        Jobs of the old version hold a reference to it, so that it lives until they end. A version that can't be loaded
        may still be being copied: it is tried again, and reported only once.
        """
        reported = None
        while self.config.poll_secs:
            await asyncio.sleep(self.config.poll_secs)
            try:
                self.model = await asyncio.to_thread(self._versions.newer) or self.model
            except Exception as error:
                text = f"warning: new version not loaded, the old one stays: {str(error)[:300]}"
                if text != reported:
                    print(text, file=sys.stderr, flush=True)
                reported = text

    def _answer(self, handler):
        """Wraps a handler, a function (application, request) -> response.

        An error becomes the answer {"error": ...} with its status, and every answer is counted.
        """

        async def handle(request):
            start = time.monotonic()
            try:
                with self._in_flight.track_inprogress():
                    response = await handler(self, request)
            except ClientDisconnect:
                response = _error(400, "The client went away")
            except UserError as error:
                response = _error(getattr(error, "status", 400), str(error))
            except Exception as error:
                text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
                print(f"error: id={request_log.current()} {text}", file=sys.stderr, flush=True)
                response = _error(500, "Internal error")
            self._answers.labels(response.status_code).inc()
            self._seconds.observe(time.monotonic() - start)
            return response

        return handle

    @contextlib.asynccontextmanager
    async def body(self, request):
        """Gives the body of a request. Its bytes count towards those of all requests until the `with` ends.

        Raises:
          Refusal: 413 if it is too large, 408 if it comes too slowly, 503 if all bodies together are too large.
        """
        limit = self.config.max_request_bytes
        parts, size = [], 0

        async def read():
            nonlocal size
            async for chunk in request.stream():
                size += len(chunk)
                self._body_bytes += len(chunk)
                if size > limit:
                    raise Refusal(413, f"The request has more than {limit} bytes")
                if self._body_bytes > _BODIES_IN_FLIGHT * limit:
                    raise Refusal(503, "Too much is being sent; try again later")
                parts.append(chunk)

        if int(request.headers.get("content-length", 0)) > limit:
            raise Refusal(413, f"The request has more than {limit} bytes")
        try:
            await asyncio.wait_for(read(), self.config.read_timeout_secs)
            yield parts[0] if len(parts) == 1 else await asyncio.to_thread(b"".join, parts)
        except asyncio.TimeoutError:
            raise Refusal(408, "The request was sent too slowly") from None
        finally:
            self._body_bytes -= size

    async def health(self, request):
        """Tells load balancers that the server runs; it only listens once a model is loaded."""
        return JSONResponse({"status": "ok", "version": self.model.version})

    async def metrics(self, request):
        """Counters in the text format of Prometheus."""
        return Response(prometheus.generate_latest(self.registry), media_type=prometheus.CONTENT_TYPE_LATEST)


def _error(status, message):
    headers = {503: {"Retry-After": "1"}, 413: {"Connection": "close"}, 408: {"Connection": "close"}}
    return JSONResponse({"error": message}, status, headers.get(status))
