"""The routes of the server, the version that it serves, and what is counted."""

import asyncio
import contextlib
import gc
import sys
import time

import prometheus_client as prometheus
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deeplab.errors import UserError, one_line
from deeplab.inference import two_at_once
from deeplab.serving import deadline, page, rest
from deeplab.serving.computing.batching import Batcher
from deeplab.serving.computing.budget import Budget
from deeplab.serving.guard import request_log
from deeplab.serving.reading.contract import Refusal
from deeplab.serving.reading.workers import Workers
from deeplab.serving.versions import Versions

_SETTLE_SECS = 1.0  # between two looks whether there is memory to give back
_OLD = 0.25  # part of the time limit of a request: while one waits for longer, the server is not ready for others
_SMALL_BODY = 1 << 20  # bytes that are joined in less time than a thread takes to begin
_BODIES_IN_FLIGHT = 16  # the bodies of all requests together may take this many times max_request_bytes


class Application:
    """Answers requests with the newest version of a model.

    Args:
      config: a `ServeConfig`.
      find: function () -> the versions there are now, the newest first: `export_folder.candidates` of a folder.
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
        self._working = 0  # requests that are being read, wait, run or are being written
        self.stopping = self._given_up = None  # futures

    def _loaded(self, path, version):
        model = self._load(path, version)
        # A search for garbage would look at the million objects of TensorFlow again and again, and stop all threads for
        # 0.2 s each time. None of these objects becomes garbage.
        gc.collect()
        gc.freeze()
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
            Route("/readyz", self._answer(Application.ready)),
            Route("/metrics", self.metrics),
            Route("/v1/models/{path:path}", self._answer(rest.models), methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: self._no_route})

    @contextlib.asynccontextmanager
    async def _lifespan(self, app):
        loop = asyncio.get_running_loop()
        self.stopping, self._given_up = loop.create_future(), loop.create_future()
        expects = lambda inside: self._working > inside  # noqa: E731
        self.batcher = Batcher(self.config, self._batches.observe, two_at_once.networks(), expects)
        self.batcher.start()
        tasks = [asyncio.create_task(work()) for work in (self._watch, self._settle)]
        self.workers = Workers(self.config)
        yield
        for task in tasks:
            task.cancel()
        self.workers.close()

    def stop(self, seconds):
        """Refuses all requests but those that are being computed, and these, too, after so many seconds."""
        self.stopping.set_result(None)
        self.batcher.stop()
        asyncio.get_running_loop().call_later(seconds, self._given_up.set_result, None)

    def refused(self, status):
        """Counts an answer that was given without the application."""
        self._answers.labels(status).inc()

    async def _no_route(self, request, error):
        """Answers a request to an unknown address, or with an unknown method."""
        self.refused(error.status_code)
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

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

    async def _settle(self):
        """Frees memory after large requests. Those that are refused before they run leave some, too."""
        while True:
            await asyncio.sleep(_SETTLE_SECS)
            if self.model:
                await asyncio.to_thread(self.model.settle)

    def _answer(self, handler):
        """Wraps a handler, a function (application, request) -> response.

        An error becomes the answer {"error": ...} with its status, and every answer is counted.
        """

        async def handle(request):
            start, network = time.monotonic(), deadline.time_network()
            try:
                with self._in_flight.track_inprogress():
                    response = await self._in_time(handler(self, request), request)
            except ClientDisconnect:
                response = _error(400, "The client went away")
            except UserError as error:
                response = _error(getattr(error, "status", 400), str(error))
            except Exception as error:
                text = f"{type(error).__name__}: {one_line(error, 300)}"
                print(f"error: id={request_log.current()} {text}", file=sys.stderr, flush=True)
                response = _error(500, "Internal error")
            if network:
                response.headers["Server-Timing"] = f"network;dur={1000 * sum(network):.3f}"  # milliseconds
            if self.stopping.done():
                response.headers["Connection"] = "close"
            self._answers.labels(response.status_code).inc()
            self._seconds.observe(time.monotonic() - start)
            return response

        return handle

    async def _in_time(self, work, request):
        """Returns the response of a handler, which is ended when its time is up or nobody waits for the answer."""
        if request.method != "POST":
            return await work
        ends = [(self._given_up, Refusal(503, deadline.STOPPING)), (deadline.gone(request), ClientDisconnect())]
        self._working += 1
        try:
            seconds = deadline.left(request, self.config.request_timeout_secs)
            return await deadline.in_time(work, seconds, Refusal(504, "Timed out"), ends)
        finally:
            self._working -= 1

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
                if chunk:
                    parts.append(chunk)

        if int(request.headers.get("content-length", 0)) > limit:
            raise Refusal(413, f"The request has more than {limit} bytes")
        late, ends = Refusal(408, "The request was sent too slowly"), [(self.stopping, Refusal(503, deadline.STOPPING))]
        try:
            await deadline.in_time(read(), deadline.left(request, self.config.read_timeout_secs), late, ends)
            yield b"".join(parts) if size <= _SMALL_BODY else await asyncio.to_thread(b"".join, parts)
        finally:
            self._body_bytes -= size

    async def health(self, request):
        """Tells that the process lives, so that nobody has to restart it."""
        return JSONResponse({"status": "ok", "version": self.model and self.model.version})

    async def ready(self, request):
        """Tells load balancers whether a request that they send now would be served soon."""
        bound = _OLD * self.config.request_timeout_secs
        reasons = {
            deadline.STOPPING: self.stopping.done(),
            "No model is loaded": self.model is None,
            "The queue is full": self.batcher.is_full,
            f"A request waits for more than {bound:g} s": self.batcher.oldest_secs > bound,
        }
        for reason in (reason for reason, holds in reasons.items() if holds):
            raise Refusal(503, reason)
        return await self.health(request)

    async def metrics(self, request):
        """Counters in the text format of Prometheus."""
        return Response(prometheus.generate_latest(self.registry), media_type=prometheus.CONTENT_TYPE_LATEST)


def _error(status, message):
    headers = {503: {"Retry-After": "1"}, 413: {"Connection": "close"}, 408: {"Connection": "close"}}
    return JSONResponse({"error": message}, status, headers.get(status))
