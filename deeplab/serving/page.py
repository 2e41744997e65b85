"""The page on which people try a model: what it shows, and its request to segment a picture."""

import asyncio
import base64
import contextlib
import functools
import hashlib
import pathlib
import re
import time

import numpy as np
from starlette.responses import HTMLResponse, JSONResponse

from deeplab.data import catalog
from deeplab.inference import exports
from deeplab.pictures import drawing, mask_ids
from deeplab.serving.computing import budget
from deeplab.serving.computing.model import check_pixels
from deeplab.serving.reading import contract
from deeplab.serving.reading.contract import DEFAULT_SIGNATURE, Refusal

_PAGE = pathlib.Path(__file__).with_name("page.html")


async def page(app, request):
    """The page. Its policy lets it load nothing from anywhere else, and run no script but its own."""
    text, policy = _text_and_policy()
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@functools.cache
def _text_and_policy():
    """Returns the page and its Content-Security-Policy, which names its style and its script by their hashes."""
    text = _PAGE.read_text("utf-8")
    inner = {tag: re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1] for tag in ("style", "script")}
    hashes = {tag: base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for tag, part in inner.items()}
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
    policy += "; img-src 'self' data: blob:"
    return text, policy + "".join(f"; {tag}-src 'sha256-{value}'" for tag, value in hashes.items())


async def about(app, request):
    """What the page shows about the model, and the number of pixels above which it scales a picture down.

    If the model itself shrinks large images, the page sends them as they are: what they cost is not the network.
    """
    card, limit = app.model.card, app.config.max_pixels
    return JSONResponse(
        {
            "name": app.config.model_name,
            "version": app.model.version,
            "variant": card.get("config", {}).get("model_variant"),
            "step": card.get("step"),
            "classes": None if app.model.dataset.name == exports.UNKNOWN else app.model.dataset.num_classes,
            "max_pixels": limit if app.model.input_size.fit_into else min(app.config.page_pixels, limit),
        }
    )


async def segment(app, request):
    """The request of the page: an encoded image -> labels as a PNG with a palette, classes, milliseconds.

    `seen` in the answer is the (height, width) at which the network sees the image, null where it is the image's.
    """
    model, start = app.model, time.monotonic()
    signature = model.signatures.get(DEFAULT_SIGNATURE)
    if not signature or len(signature.inputs) != 1 or "labels" not in signature.outputs:
        raise Refusal(400, f"This model's {DEFAULT_SIGNATURE} does not give labels of images")
    _refuse_other_channels(app, signature)
    with contextlib.ExitStack() as ending:
        async with app.body(request) as body:
            header = await asyncio.to_thread(contract.header, body)
            sizes = [[1, header.height, header.width, header.scans]]
            need = budget.need(model, DEFAULT_SIGNATURE, sizes)
            weight = app.budget.weight(need, check_pixels(sizes, *app.config.limits))
            ending.callback(app.budget.hold(need.held))
            image = await app.workers.decode(body, header)
        decoded = time.monotonic()
        (name,) = signature.inputs
        outputs = await app.batcher.submit(model, DEFAULT_SIGNATURE, {name: image[None]}, weight)
    milliseconds = {"decode": 1000 * (decoded - start), "network": 1000 * (time.monotonic() - decoded)}
    size = image.shape[:2]
    seen = model.input_size.fitted(*size) if model.input_size.resizes(*size) else None
    picture = await asyncio.to_thread(_picture, outputs, model)
    return JSONResponse({**picture, "milliseconds": milliseconds, "seen": seen})


def _refuse_other_channels(app, signature):
    """Refuses encoded images for a model that takes other arrays than RGB of 8 bits."""
    (spec,) = signature.inputs.values()
    channels = spec.shape[3] if spec.shape is not None and len(spec.shape) == 4 else None
    if channels not in (None, 3) or spec.dtype != np.uint8:
        place = f"/v1/models/{app.config.model_name}:predict"
        raise Refusal(400, f"This model takes arrays of {channels} channels as {spec.dtype_name}: send them to {place}")


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
    ids = mask_ids.of_dataset(model.dataset, colors)
    if ids.palette is None:  # the page shows the picture, and a PNG of 16 bits has no palette
        ids = mask_ids.of_dataset(mask_ids.without(model.dataset), colors)
    return {"png": base64.b64encode(drawing.png_of(ids.of(labels), ids.palette)).decode(), "classes": classes}
