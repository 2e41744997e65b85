"""The picture on the server's page holds the ids of the label files as far as a palette holds them."""

import base64
import dataclasses
import io
import types

import numpy as np
import pytest
from PIL import Image

from deeplab.data import catalog

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving import page

DATASET = catalog.Dataset("own", 3, class_names=("sky", "road", "tree"), colors=((0, 0, 9), (0, 9, 0), (9, 0, 0)))


@pytest.mark.parametrize(("ids", "expected"), [((), [0, 1]), ((4, 7, 9), [4, 7]), ((4, 7, 300), [0, 1])])
def test_the_page_shows_colours_and_holds_ids(ids, expected):
    model = types.SimpleNamespace(dataset=dataclasses.replace(DATASET, source_ids=ids))
    answer = page._picture({"labels": np.array([[[0, 1]]])}, model)
    with Image.open(io.BytesIO(base64.b64decode(answer["png"]))) as image:
        assert np.asarray(image).tolist() == [expected]
        assert np.asarray(image.convert("RGB")).tolist() == [[[0, 0, 9], [0, 9, 0]]]
    assert [one["id"] for one in answer["classes"]] == [0, 1]  # JSON answers keep class ids
