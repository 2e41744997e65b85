"""The routes of the server: TensorFlow Serving's REST interface, the page to try a model, health and metrics."""

import asyncio
import base64
import contextlib
import pathlib
import re
import sys
import time

import numpy as np
import prometheus_client as prometheus
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.inference import two_at_once
from deeplab.pictures import drawing
from deeplab.serving import contract
from deeplab.serving.batching import Batcher
from deeplab.serving.contract import DEFAULT_SIGNATURE, Refusal
from deeplab.serving.model import check_pixels, decode

_PAGE = pathlib.Path(__file__).with_name("page.html")
# What follows /v1/models/: NAME[/versions/V], then /metadata, :predict or nothing.
_PATH = re.compile(r"(?P<name>[^/:]+)(/versions/(?P<version>\d+))?(/(?P<what>metadata)|:(?P<verb>\w+))?")
_BODIES_IN_FLIGHT = 16  # the bodies of all requests together may take this many times max_request_bytes


class Application:
    """Answers requests with the newest version of a model.

    Args:
      config: a `ServeConfig`.
      find: function () -> `exports.Version` or None: the newest version now.
      load: function (path, version number) -> a `ServedModel`.
    """

    def __init__(self, config, find, load):
        self.config, self._find, self._load = config, find, load
        self.model = self._loaded(*find())
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
        self.batcher = None

    def _loaded(self, path, version):
        model = self._load(path, version)
        print(f"Loaded {self.config.model_name} version {version}: {path}", flush=True)
        if model.input_size.fit_into:
            print(model.input_size, flush=True)
        return model

    def asgi(self):
        """Returns the ASGI application, which a server such as uvicorn runs."""
        routes = [
            Route("/", self._answer(self.page)),
            Route("/page/segment", self._answer(self.segment), methods=["POST"]),
            Route("/page/model", self._answer(self.about)),
            Route("/healthz", self._answer(self.health)),
            Route("/readyz", self._answer(self.health)),
            Route("/metrics", self.metrics),
            Route("/v1/models/{path:path}", self._answer(self.models), methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app):
        self.batcher = Batcher(self.config, self._batches.observe, two_at_once.networks())
        tasks = [asyncio.create_task(self.batcher.serve()), asyncio.create_task(self._watch())]
        yield
        for task in tasks:
            task.cancel()

    async def _watch(self):
        """Looks for a new version again and again, and loads it before it replaces the old one.

        Jobs of the old version hold a reference to it, so that it lives until they end. A version that can't be loaded
        may still be being copied: it is tried again, and reported only once.
        """
        reported = None
        while self.config.poll_secs:
            await asyncio.sleep(self.config.poll_secs)
            try:
                found = await asyncio.to_thread(self._find)
                if found and found.number != self.model.version:
                    self.model = await asyncio.to_thread(self._loaded, *found)
            except Exception as error:
                text = f"warning: new version not loaded, the old one stays: {str(error)[:300]}"
                if text != reported:
                    print(text, file=sys.stderr, flush=True)
                reported = text

    def _answer(self, handler):
        """Wraps a handler: an error becomes the answer {"error": ...} with its status, and every answer is counted."""

        async def handle(request):
            start = time.monotonic()
            try:
                with self._in_flight.track_inprogress():
                    response = await handler(request)
            except ClientDisconnect:
                response = _error(400, "The client went away")
            except UserError as error:
                response = _error(getattr(error, "status", 400), str(error))
            except Exception as error:
                print(f"error: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr, flush=True)
                response = _error(500, "Internal error")
            self._answers.labels(response.status_code).inc()
            self._seconds.observe(time.monotonic() - start)
            return response

        return handle

    @contextlib.asynccontextmanager
    async def _body(self, request):
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
            yield b"".join(parts)
        except asyncio.TimeoutError:
            raise Refusal(408, "The request was sent too slowly") from None
        finally:
            self._body_bytes -= size

    async def models(self, request):
        """TensorFlow Serving's REST interface: status and metadata by GET, predict by POST."""
        match = _PATH.fullmatch(request.path_params["path"])
        verb = match and match["verb"]
        if not match or (verb is not None) != (request.method == "POST") or verb not in (None, "predict"):
            raise Refusal(400, f"Malformed request: {request.method} {request.url.path[:200]}")
        model = self.model
        if match["name"] != self.config.model_name:
            raise Refusal(404, f"Could not find any versions of model {match['name'][:80]}")
        if match["version"] and match["version"] != str(model.version):
            raise Refusal(404, f"Could not find version {match['version'][:20]} of model {match['name']}")
        if verb:
            return await self._predict(request, model)
        return JSONResponse(_metadata(match["name"], model) if match["what"] else _status(model))

    async def _predict(self, request, model):
        async with self._body(request) as body:
            name, inputs, row = await asyncio.to_thread(contract.parse, body, model.signatures)
            pixels = await asyncio.to_thread(check_pixels, inputs, self.config.max_pixels)
            outputs = await self.batcher.submit(model, name, inputs, pixels)
        return Response(await asyncio.to_thread(contract.encode, outputs, row), media_type="application/json")

    async def segment(self, request):
        """The request of the page: an encoded image -> labels as a PNG with a palette, classes, milliseconds.

        `seen` in the answer is the (height, width) at which the network sees the image, null where it is the image's.
        """
        model, start = self.model, time.monotonic()
        signature = model.signatures.get(DEFAULT_SIGNATURE)
        if not signature or len(signature.inputs) != 1 or "labels" not in signature.outputs:
            raise Refusal(400, f"This model's {DEFAULT_SIGNATURE} does not give labels of images")
        async with self._body(request) as body:
            image = await asyncio.to_thread(decode, body, self.config.max_pixels)
        decoded = time.monotonic()
        (name,) = signature.inputs
        outputs = await self.batcher.submit(model, DEFAULT_SIGNATURE, {name: image[None]}, image[..., 0].size)
        milliseconds = {"decode": 1000 * (decoded - start), "network": 1000 * (time.monotonic() - decoded)}
        size = image.shape[:2]
        seen = model.input_size.fitted(*size) if model.input_size.resizes(*size) else None
        picture = await asyncio.to_thread(_picture, outputs, model)
        return JSONResponse({**picture, "milliseconds": milliseconds, "seen": seen})

    async def page(self, request):
        """The page. Its policy lets it load nothing from anywhere else."""
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        headers = {"Content-Security-Policy": policy + "; img-src 'self' data: blob:"}
        return HTMLResponse(_PAGE.read_text("utf-8"), headers=headers)

    async def about(self, request):
        """What the page shows about the model, and the number of pixels above which it scales a picture down.

        If the model itself shrinks large images, the page sends them as they are: what they cost is not the network.
        """
        card, limit = self.model.card, self.config.max_pixels
        return JSONResponse(
            {
                "name": self.config.model_name,
                "version": self.model.version,
                "variant": card.get("config", {}).get("model_variant"),
                "step": card.get("step"),
                "classes": self.model.dataset.num_classes,
                "max_pixels": limit if self.model.input_size.fit_into else min(self.config.page_pixels, limit),
            }
        )

    async def health(self, request):
        """Tells load balancers that the server runs; it only listens once a model is loaded."""
        return JSONResponse({"status": "ok", "version": self.model.version})

    async def metrics(self, request):
        """Counters in the text format of Prometheus."""
        return Response(prometheus.generate_latest(self.registry), media_type=prometheus.CONTENT_TYPE_LATEST)


def _error(status, message):
    headers = {503: {"Retry-After": "1"}, 413: {"Connection": "close"}, 408: {"Connection": "close"}}
    return JSONResponse({"error": message}, status, headers.get(status))


def _status(model):
    """Returns the answer about the status of a model, which is always loaded here."""
    state = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    return {"model_version_status": [{"version": str(model.version), **state}]}


def _metadata(name, model):
    """Returns the answer to /metadata: the signatures as TensorFlow Serving writes them."""
    signatures = {
        key: {
            "inputs": {item: _tensor_info(spec) for item, spec in signature.inputs.items()},
            "outputs": {item: _tensor_info(spec) for item, spec in signature.outputs.items()},
            "method_name": "tensorflow/serving/predict",
        }
        for key, signature in model.signatures.items()
    }
    spec = {"name": name, "signature_name": "", "version": str(model.version)}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}


def _tensor_info(spec):
    dims = [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape or ()]
    shape = {"dim": dims, "unknown_rank": spec.shape is None}
    return {"dtype": spec.dtype_name, "tensor_shape": shape, "name": spec.tensor}


def _picture(outputs, model):
    """Returns the labels of one image as a PNG in base64, and the classes in it, the one with most pixels first."""
    labels = np.asarray(outputs["labels"][0]).astype(np.uint8)
    colors = catalog.label_colormap(model.dataset)
    counts = np.bincount(labels.reshape(-1))
    classes = [
        {
            "id": int(label),
            "name": model.dataset.class_name(int(label)),
            "color": [int(value) for value in colors[label]],
            "share": counts[label] / labels.size,
        }
        for label in sorted(np.flatnonzero(counts), key=lambda label: -counts[label])
    ]
    return {"png": base64.b64encode(drawing.png_of(labels, colors)).decode(), "classes": classes}
