"""The queue in front of the network, with a fake model: what runs together, what is answered too late."""

import asyncio
import threading
import types

import numpy as np
import pytest

from deeplab.config.serve import ServeConfig
from deeplab.inference.saved_models.loading import Signature, Spec

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving import deadline
from deeplab.serving.computing.batching import Batcher
from deeplab.serving.reading.contract import Refusal

IMAGES = Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")
ONE = IMAGES._replace(shape=(1, None, None, 3))


class Fake:
    """Labels are the red channel; remembers the shapes of its runs and refuses batches with a 255 in them."""

    signatures = types.MappingProxyType(
        {"any": Signature({"images": IMAGES}, {}), "one": Signature({"images": ONE}, {})}
    )

    def __init__(self):
        self.runs = []

    def run(self, signature, inputs):
        self.runs.append(inputs["images"].shape)
        if np.any(inputs["images"] == 255):
            raise Refusal(400, "255")
        return {"labels": inputs["images"][..., 0]}


def image(value, height=2, count=1):
    return np.full((count, height, 3, 3), value, np.uint8)


def submit(images, signature="any", **options):
    """Submits all at once; returns (results, labels or exceptions, in order; shapes that ran; sizes observed)."""
    model, observed = Fake(), []

    async def run():
        config = ServeConfig("unused", **{"batch_timeout_ms": 0, **options})
        batcher = Batcher(config, observed.append)
        jobs = [batcher.submit(model, signature, {"images": item}, item[..., 0].size) for item in images]
        waiting = asyncio.gather(*jobs, return_exceptions=True)
        await asyncio.sleep(0)  # all are in the queue before the first is taken
        batcher.start()
        return await waiting

    return asyncio.run(run()), model.runs, observed


def test_requests_of_one_shape_run_together_and_get_their_own_labels():
    images = [image(1), image(2, height=5), image(3, count=2), image(4)]
    results, runs, observed = submit(images)
    assert runs == [(4, 2, 3, 3), (1, 5, 3, 3)]
    assert observed == [4, 1]
    for item, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result["labels"], item[..., 0])


@pytest.mark.parametrize(
    ("signature", "options", "counts"),
    [
        ("any", {"max_batch_size": 2}, [2, 2, 1]),
        ("any", {"max_pixels": 12}, [2, 2, 1]),  # 6 each
        ("one", {}, [1] * 5),  # takes one image
    ],
)
def test_batches_keep_within_limits(signature, options, counts):
    results, runs, _observed = submit([image(value) for value in range(5)], signature, **options)
    assert [shape[0] for shape in runs] == counts
    assert [int(result["labels"][0, 0, 0]) for result in results] == list(range(5))


def test_a_bad_request_does_not_fail_those_it_ran_with():
    results, runs, _observed = submit([image(1), image(255), image(2)])
    assert [shape[0] for shape in runs] == [3, 1, 1, 1]
    assert isinstance(results[1], Refusal)
    assert [int(results[i]["labels"].max()) for i in (0, 2)] == [1, 2]


def test_what_waits_too_long_is_answered_504_and_never_runs():
    model = Fake()

    async def run():
        batcher = Batcher(ServeConfig("unused"))
        with pytest.raises(Refusal) as refusal:  # nothing runs yet
            await deadline.in_time(batcher.submit(model, "any", {"images": image(1)}), 0.01, Refusal(504, "Timed out"))
        batcher.start()
        await asyncio.sleep(0.05)
        return refusal.value.status, len(batcher)

    assert asyncio.run(run()) == (504, 0)
    assert model.runs == []


def test_a_full_queue_is_answered_503_at_once():
    results, runs, _observed = submit([image(value) for value in range(3)], max_queue_size=2)
    assert [getattr(result, "status", 200) for result in results] == [200, 200, 503]
    assert runs == [(2, 2, 3, 3)]


@pytest.mark.parametrize(("batch_timeout_ms", "counts"), [(0.0, [1, 1]), (1000.0, [2])])
def test_a_request_waits_for_others_as_long_as_it_is_told(batch_timeout_ms, counts):
    model = Fake()

    async def run():
        batcher = Batcher(ServeConfig("unused", batch_timeout_ms=batch_timeout_ms))
        batcher.start()
        first = asyncio.create_task(batcher.submit(model, "any", {"images": image(1)}))
        while batch_timeout_ms == 0 and not model.runs:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.submit(model, "any", {"images": image(2)}))

    asyncio.run(run())
    assert [shape[0] for shape in model.runs] == counts


@pytest.mark.parametrize(("at_once", "max_pixels", "most"), [(2, 100, 2), (1, 100, 1), (2, 10, 1)])
def test_batches_run_at_a_time_within_the_limit_of_pixels(at_once, max_pixels, most):
    """A run waits for another one to be inside as well, if two may be; images have 6 pixels and different sizes."""
    meeting, inside, seen = threading.Barrier(most), [], []

    class Model(Fake):
        def run(self, signature, inputs):
            inside.append(1)
            meeting.wait(60)
            seen.append(len(inside))
            meeting.wait(60)
            inside.pop()
            return super().run(signature, inputs)

    async def run():
        batcher = Batcher(ServeConfig("unused", batch_timeout_ms=0, max_pixels=max_pixels), at_once=at_once)
        images = [np.full((1, *size, 3), 1, np.uint8) for size in ((2, 3), (3, 2), (1, 6), (6, 1))]
        batcher.start()
        await asyncio.gather(*(batcher.submit(model, "any", {"images": item}, 6) for item in images))

    model = Model()
    asyncio.run(run())
    assert seen == [most] * 4
    assert len(model.runs) == 4
