"""A server whose model takes other arrays than RGB of 8 bits: wrong ones are one line with the status 400."""

import json
import types

import numpy as np
import pytest

from deeplab.inference.saved_models.loading import Signature, Spec

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.data import catalog
from deeplab.inference.input_size import InputSize
from deeplab.serving import page
from deeplab.serving.computing import budget
from deeplab.serving.computing.budget import Cost
from deeplab.serving.reading import contract
from deeplab.serving.reading.contract import Refusal

IMAGES = Spec(np.dtype(np.float32), "DT_FLOAT", (None, None, None, 5), "images:0")
LABELS = Spec(np.dtype(np.int32), "DT_INT32", (None, None, None), "labels:0")
SIGNATURES = {"serving_default": Signature({"images": IMAGES}, {"labels": LABELS})}


def ask(images, **more):
    body = json.dumps({"instances": images.tolist(), **more}).encode()
    return contract.parse(body, contract.described(SIGNATURES))


def test_arrays_have_the_channels_of_the_model():
    values = np.random.default_rng(0).integers(0, 4096, (2, 3, 4, 5))
    read = ask(values)
    np.testing.assert_array_equal(read.inputs["images"], values)
    assert read.inputs["images"].dtype == np.float32
    with pytest.raises(Refusal, match=r"shape \(2, 3, 4, 3\) where \(None, None, None, 5\) is expected") as refused:
        ask(values[..., :3])
    assert refused.value.status == 400
    with pytest.raises(Refusal, match="'bytes' not found"):
        ask(values, signature_name="bytes")


def test_the_page_sends_no_pictures_to_such_a_model():
    app = types.SimpleNamespace(config=types.SimpleNamespace(model_name="crops"))
    with pytest.raises(Refusal, match="5 channels as DT_FLOAT: send them to /v1/models/crops:predict") as refused:
        page._refuse_other_channels(app, SIGNATURES["serving_default"])
    assert refused.value.status == 400
    rgb = Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")
    page._refuse_other_channels(app, Signature({"images": rgb}, {"labels": LABELS}))


def test_memory_counts_all_channels():
    model = types.SimpleNamespace(
        signatures=SIGNATURES, cost=Cost(1000, 10, 0), input_size=InputSize(), dataset=catalog.CATALOG["camvid"]
    )
    assert budget.need(model, "serving_default", [[1, 10, 20, 1]]).held == 200 * (5 * 4 + 4 + 6)
