"""Large requests run in pieces, and others run between the pieces. The model is a fake one."""

import asyncio
import types

import numpy as np
import pytest

from deeplab.config.serve import ServeConfig
from deeplab.inference.saved_models.loading import Signature, Spec

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving.computing.batching import Batcher
from deeplab.serving.reading.contract import Refusal

IMAGES = Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")
TEXT = Spec(np.dtype(object), "DT_STRING", (None,), "text:0")


class Fake:
    """Labels are the red channel. `runs` are the first red value and the number of images of the runs, in order.

    Args:
      entries: function number of images -> the length of the output `labels`.
    """

    signatures = types.MappingProxyType(
        {"any": Signature({"images": IMAGES}, {}), "bytes": Signature({"image_bytes": TEXT}, {})}
    )

    def __init__(self, entries=lambda count: count):
        self.runs, self._entries = [], entries

    def run(self, signature, inputs):
        (array,) = inputs.values()
        self.runs.append((int(array.reshape(-1)[0]), len(array)))
        if signature == "any":
            array = array[..., 0]
            if np.any(array == 255):
                raise Refusal(400, "255")
        return {"labels": array[: self._entries(len(array))], "more": array}


def images(value, count=1, height=1):
    return np.full((count, height, 2, 3), value, np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]


def submit(model, arrays, signature="any", then=lambda batcher, tasks: None, at_once=1, **options):
    """Submits all at once, calls `then` when the first has begun; returns the results or exceptions, in order."""

    async def run():
        config = ServeConfig("unused", **{"batch_timeout_ms": 0, "max_batch_size": 4, "max_pixels": 10_000, **options})
        batcher = Batcher(config, at_once=at_once)
        name = "image_bytes" if signature == "bytes" else "images"
        pixels = [100 * len(array) if signature == "bytes" else array[..., 0].size for array in arrays]
        pairs = zip(arrays, pixels, strict=True)
        tasks = [asyncio.create_task(batcher.submit(model, signature, {name: array}, size)) for array, size in pairs]
        await asyncio.sleep(0)
        batcher.start()
        while not model.runs:
            await asyncio.sleep(0)
        then(batcher, tasks)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.02)
        return results

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, [4, 4, 3]),
        ({"max_batch_size": 100}, [11]),
        ({"max_pixels": 48}, [3, 3, 3, 2]),  # pieces have an eighth of max_pixels: 6, and an image has 2
        ({"max_pixels": 22}, [1] * 11),  # at least one image
    ],
)
def test_the_pieces_of_a_request_are_joined_in_order(options, counts):
    model = Fake()
    (result,) = submit(model, [images(1, 11)], **options)
    assert [count for _value, count in model.runs] == counts
    np.testing.assert_array_equal(result["labels"], images(1, 11)[..., 0])


def test_requests_take_turns():
    model = Fake()
    submit(model, [images(0, 12), images(100, height=2), images(200, 8, height=3)])
    assert model.runs == [(0, 4), (100, 1), (200, 4), (4, 4), (204, 4), (8, 4)]


def test_the_rest_of_a_large_request_runs_with_others():
    model = Fake()
    results = submit(model, [images(0, 5), images(100), images(200)])
    assert model.runs == [(0, 4), (100, 3)]
    assert [int(result["labels"][-1, 0, 0]) for result in results] == [4, 100, 200]


def test_an_error_in_a_piece_ends_the_request():
    model = Fake()
    results = submit(model, [images(251, 8), images(0)])
    assert isinstance(results[0], Refusal)
    assert int(results[1]["labels"][0, 0, 0]) == 0


@pytest.mark.parametrize("entries", [lambda count: 1, lambda count: count - 1])
def test_outputs_that_are_not_by_image_come_from_one_run(entries):
    model = Fake(entries)
    (result,) = submit(model, [images(0, 9)], at_once=2)
    assert model.runs[-1] == (0, 9)
    assert result["labels"].shape == (entries(9), 1, 2)


def test_what_nobody_waits_for_does_not_run():
    model = Fake()
    results = submit(model, [images(0, 40), images(100)], then=lambda batcher, tasks: tasks[0].cancel())
    assert isinstance(results[0], asyncio.CancelledError)
    assert model.runs == [(0, 4), (100, 1)]


def test_stopping_finishes_what_runs():
    model = Fake()
    results = submit(model, [images(0, 3), images(100, height=2)], then=lambda batcher, tasks: batcher.stop())
    assert int(results[0]["labels"][0, 0, 0]) == 0
    assert results[1].status == 503
    assert model.runs == [(0, 3)]


def test_files_whose_sizes_are_not_known_run_one_by_one():
    model = Fake()
    files = np.array([b"%d" % i for i in range(5)], object)
    (result,) = submit(model, [files], "bytes", max_pixels=1000)
    assert model.runs == [(i, 1) for i in range(5)]
    assert list(result["labels"]) == list(files)


def test_a_small_request_runs_beside_a_large_one_and_both_get_their_turn():
    """max_pixels is 80: two images of 80 pixels do not run at a time, but images of 10 pixels beside one of them do.

    No more than 8 small requests overtake the second large one.
    """
    model = Fake()
    large = [np.full((1, 8, 10, 3), value, np.uint8) for value in (0, 1)]
    small = [np.full((1, 1, 10, 3), value, np.uint8) for value in range(100, 120)]
    submit(model, large + small, at_once=2, max_pixels=80, max_batch_size=1, batch_timeout_ms=2.0)
    order = [value for value, _count in model.runs]
    assert sorted(order) == [0, 1, *range(100, 120)]
    assert order.index(1) <= 10
