"""TensorFlow Serving's REST interface: the status of a model, its signatures, and predictions.

Source: https://www.tensorflow.org/tfx/serving/api_rest.
"""

import asyncio
import contextlib
import re

from starlette.responses import JSONResponse

from deeplab.serving import answers
from deeplab.serving.computing import budget
from deeplab.serving.computing.model import check_pixels
from deeplab.serving.reading.contract import Refusal

_UNREAD = 2  # bytes that a request holds for each byte of its body, besides its arrays

# What follows /v1/models/: NAME[/versions/V], then /metadata, :predict or nothing.
_PATH = re.compile(r"(?P<name>[^/:]+)(/versions/(?P<version>\d+))?(/(?P<what>metadata)|:(?P<verb>\w+))?")


async def models(app, request):
    """Answers a request to `app`, an `Application`: status and metadata by GET, predict by POST."""
    match = _PATH.fullmatch(request.path_params["path"])
    verb = match and match["verb"]
    if not match or (verb is not None) != (request.method == "POST") or verb not in (None, "predict"):
        raise Refusal(400, f"Malformed request: {request.method} {request.scope['path'][:200]}")
    model = app.model
    if match["name"] != app.config.model_name:
        raise Refusal(404, f"Could not find any versions of model {match['name'][:80]}")
    if match["version"] and match["version"] != str(model.version):
        raise Refusal(404, f"Could not find version {match['version'][:20]} of model {match['name']}")
    if verb:
        return await _predict(app, request, model)
    return JSONResponse(_metadata(match["name"], model) if match["what"] else _status(model))


async def _predict(app, request, model):
    async with app.body(request) as body:
        with contextlib.ExitStack() as ending, contextlib.ExitStack() as unanswered:
            ending.callback(app.budget.hold(_UNREAD * len(body)))
            read = await app.workers.parse(body, model.signatures)
            pixels = check_pixels(read.sizes, *app.config.limits)
            need = budget.need(model, read.signature, read.sizes)
            weight = app.budget.weight(need, pixels)
            release = app.budget.hold(need.held)
            unanswered.callback(release)
            outputs = await app.batcher.submit(model, read.signature, read.inputs, weight)
            if answers.is_short(outputs):
                pieces = answers.encode(outputs, read.row)
            else:
                pieces = await asyncio.to_thread(answers.encode, outputs, read.row)
            unanswered.pop_all()
    return answers.Answer(pieces, release)


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
