"""What requests may take, in bytes: needs from sizes, budgets, and what is measured of a real export."""

import base64
import json
import re

import numpy as np
import pytest

from deeplab.data import catalog
from deeplab.inference.input_size import InputSize
from deeplab.inference.saved_models.loading import Signature, Spec
from helpers import crafted_images as crafted
from helpers import small_export

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving import answers
from deeplab.serving.computing import budget, measured
from deeplab.serving.computing.budget import Budget, Cost, Need
from deeplab.serving.computing.model import ServedModel, check_pixels
from deeplab.serving.reading import contract
from deeplab.serving.reading.contract import Refusal

IMAGES = Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")


class Fake:
    """A model with an output per pixel and, in `all`, 21 more."""

    dataset, cost, input_size = catalog.CATALOG["pascal_voc_seg"], Cost(1000, 10, 0), InputSize()

    def __init__(self):
        labels = Spec(np.dtype(np.int32), "DT_INT32", (None, None, None), "labels:0")
        probabilities = Spec(np.dtype(np.float32), "DT_FLOAT", (None, None, None, None), "p:0")
        self.signatures = {
            "serving_default": Signature({"images": IMAGES}, {"labels": labels}),
            "all": Signature({"images": IMAGES}, {"labels": labels, "probabilities": probabilities}),
        }


def test_a_need_counts_images_pixels_and_answers():
    assert budget.need(Fake(), "serving_default", [[1, 10, 20, 1]]) == Need(1000 + 10 * 200, (3 + 10) * 200)
    many = budget.need(Fake(), "serving_default", [[30_000, 1, 1, 1]])
    assert many.network == 30_000 * 1010  # 1x1 pixels are not what an image costs
    assert budget.need(Fake(), "all", [[1, 10, 20, 1]]).held == (3 + 10 + 21 * 30) * 200


def test_padding_counts_and_so_does_resizing():
    assert Cost(0, 1, 32).of(9_000_000, 1) > 32 * 9_000_000  # a column of pixels is a column of cells
    assert Cost(0, 1, 0, (513, 513)).of(1, 1) == 513 * 513
    enlarged = Cost(0, 1, 0, resize=(100, None))
    assert enlarged.of(1, 9000) == 100 * 900_000
    assert enlarged._replace(resize=(100, 300)).of(1, 9000) == 1 * 300
    assert enlarged.of(10, 20) == 100 * 200
    model = Fake()
    model.input_size, model.cost = InputSize("auto", (10, 10), (10, 10), 15), Cost(1000, 300, 0)
    shrunk = budget.need(model, "serving_default", [[1, 100, 100, 1]]).network
    assert model.cost.of(10, 10) < shrunk < model.cost.of(100, 100)


def test_a_budget_refuses_what_never_fits_and_what_does_not_fit_now():
    limits = Budget(4000, max_pixels=100)
    with pytest.raises(Refusal, match="takes 0 MB of memory; at most 0 MB") as refusal:
        limits.hold(1001)
    assert refusal.value.status == 413
    release = limits.hold(600)
    with pytest.raises(Refusal, match="taken; try again later") as refusal:
        limits.hold(600)
    assert refusal.value.status == 503
    release()
    release()  # only the first call counts
    assert limits.held == 0
    limits.hold(1000)


def test_what_needs_more_memory_weighs_more_in_a_batch():
    limits = Budget(4000, max_pixels=100)
    assert limits.weight(Need(30, 0), 7) == 7
    assert limits.weight(Need(1500, 0), 7) == 50  # half of what the network may have is half of a batch
    with pytest.raises(Refusal) as refusal:
        limits.weight(Need(3001, 0), 7)
    assert refusal.value.status == 413


def test_what_is_left_is_within_the_machine_and_within_ulimit(monkeypatch):
    machine = budget.left()
    with open("/proc/meminfo") as file:
        assert 0 < machine <= int(re.search(r"MemTotal:\s+(\d+)", file.read())[1]) << 10
    monkeypatch.setattr("resource.getrlimit", lambda _which: (1 << 62, 1 << 62))
    assert budget._of_address_space()[0] < 1 << 62
    monkeypatch.setattr(budget, "_of_address_space", lambda: [1000 << 20])
    assert budget.left() == min(machine, 1000 << 20) or budget.left() <= machine
    assert Budget(0, 1).total <= 500 << 20


def test_growth_is_what_a_call_took_even_if_it_gave_it_back():
    assert 50e6 < (measured.growth(lambda: np.ones(64 << 20, np.uint8).sum()) or 67e6) < 200e6


def test_pixels_of_scans_are_limited_too():
    assert check_pixels([[2, 3, 4, 1]], 24) == 24
    for sizes, what in (([[1, 5, 5, 1]], "25 pixels; at most"), ([[1, 4, 6, 11]], "264 pixels in all scans")):
        with pytest.raises(Refusal, match=what) as refusal:
            check_pixels(sizes, 24)
        assert refusal.value.status == 413


def test_strings_are_images_of_a_known_format_or_refused():
    png = crafted.png_header(9_000_000, 1)
    array = np.array([png, crafted.encoded(np.zeros((3, 4, 3), np.uint8), "JPEG")], object)
    assert contract.sizes({"x": array}) == [[1, 1, 9_000_000, 1], [1, 3, 4, 1]]
    bad = {**crafted.FOREIGN, "animation": crafted.animation("GIF"), "bomb": crafted.bmp(30_000, 30_000)}
    for content in (*bad.values(), crafted.webp(crafted.webp_canvas(8192, 8192, flags=2))):
        with pytest.raises(Refusal) as refusal:
            contract.sizes({"x": np.array([content], object)})
        assert refusal.value.status == 400
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("row", [True, False])
@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
@pytest.mark.parametrize(
    "outputs",
    [
        {"labels": np.arange(24, dtype=np.int32).reshape(2, 3, 4)},
        {"p": np.random.default_rng(0).random((2, 3, 4), np.float32), "flags": np.array([True, False])},
        {"p": np.array([[np.nan, np.inf]] * 2, np.float32)},
        {"label_bytes": np.array([b"\0\xff", b"ab"], object), "names": np.array([b"a", b"\xc3\xa4"], object)},
        {"halves": np.array([0.1, 65504], np.float16)},
    ],
)
def test_answers_are_those_of_python_whatever_their_pieces(monkeypatch, outputs, piece, row):
    monkeypatch.setattr(answers, "_PIECE", piece)
    text = b"".join(answers.encode(outputs, row)).decode()
    names = list(outputs)
    plain = {name: _plain(name, array.tolist()) for name, array in outputs.items()}
    if len(names) == 1:
        expected = plain[names[0]]
    else:
        expected = [{name: plain[name][i] for name in names} for i in range(2)] if row else plain
    assert repr(json.loads(text)) == repr({"predictions" if row else "outputs": expected})


def _plain(name, value):
    if isinstance(value, list):
        return [_plain(name, item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
    return value


@pytest.mark.usefixtures("short_mobilenet")
def test_the_cost_of_a_network_is_measured_when_it_is_loaded(tmp_path):
    model = ServedModel(str(small_export.run(tmp_path)), 1)
    assert model.cost.pixel >= measured.LEAST_PER_PIXEL
    assert model.cost != Cost()
    need = budget.need(model, "serving_default", [[1, 65, 65, 1]]).network
    assert 65 * 65 * 100 < need < 500e6
