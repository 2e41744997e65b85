"""The processes that decode and parse for the server: same results as in this process, limits in time and memory."""

import asyncio
import base64
import functools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from deeplab.config.serve import ServeConfig
from deeplab.inference.saved_models.loading import Signature, Spec
from deeplab.pictures import images
from helpers import crafted_images as crafted

pytest.importorskip("uvicorn", reason="pip install uvicorn")
from deeplab.serving import deadline
from deeplab.serving.reading import contract, workers
from deeplab.serving.reading.contract import Refusal

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
BYTES = Spec(np.dtype(object), "DT_STRING", (None,), "text:0")
SIGNATURES = {
    "serving_default": Signature(
        {"images": Spec(np.dtype(np.uint8), "DT_UINT8", (None, None, None, 3), "images:0")}, {}
    ),
    "floats": Signature({"x": Spec(np.dtype(np.float32), "DT_FLOAT", None, "x:0")}, {}),
    "bytes": Signature({"image_bytes": BYTES, "others": BYTES}, {}),
}
PNG = crafted.encoded(PHOTO, "PNG")
IMAGE = {"b64": base64.b64encode(PNG).decode()}


def with_workers(use, count=2, **options):
    """Returns what the coroutine function `use` returns of a pool of workers."""

    async def run():
        pool = workers.Workers(ServeConfig("unused", **options), count)
        try:
            return await use(pool)
        finally:
            pool.close()

    return asyncio.run(run())


@functools.cache
def heavy():
    """A JPEG that takes several seconds to decode, of which none is honest."""
    return crafted.progressive(100, 5000, 5000)


def processes(pool):
    return [process._process for process in pool._idle]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [PHOTO.tolist()]},
        {"inputs": {"x": [[1.5, -2], [3, 4e30]]}, "signature_name": "floats"},
        {"instances": [{"image_bytes": IMAGE, "others": IMAGE}] * 3, "signature_name": "bytes"},
    ],
)
def test_a_request_that_a_process_reads_is_the_same(monkeypatch, body):
    text = json.dumps(body).encode()
    here = contract.parse(text, contract.described(SIGNATURES))
    monkeypatch.setattr(workers, "_SMALL_BODY", 0)
    monkeypatch.setattr(workers, "_TINY_BODY", 0)
    there = with_workers(lambda pool: pool.parse(text, SIGNATURES))
    assert (here.signature, here.row, here.sizes) == (there.signature, there.row, there.sizes)
    for name, array in here.inputs.items():
        assert array.dtype == there.inputs[name].dtype
        np.testing.assert_array_equal(array, there.inputs[name])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 99_000, "JSON Parse error"),
        (b'{"instances": [NaN]}', "JSON Parse error"),
        (b'{"instances": [[[["a"]]]]}', "images: not an array"),
        (b'{"instances": [{"b64": "aGk="}], "signature_name": "none"}', "not found"),
        (b'{"instances": [{"image_bytes": {"b64": "aGk="}, "others": "a"}], "signature_name": "bytes"}', "readable"),
    ],
)
def test_a_process_refuses_what_a_thread_refuses(monkeypatch, body, message):
    with pytest.raises(Refusal, match=message):
        contract.parse(body, contract.described(SIGNATURES))
    monkeypatch.setattr(workers, "_SMALL_BODY", 0)
    monkeypatch.setattr(workers, "_TINY_BODY", 0)
    with pytest.raises(Refusal, match=message) as refusal:
        with_workers(lambda pool: pool.parse(body, SIGNATURES))
    assert refusal.value.status == 400


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP"])
def test_pixels_are_those_of_the_other_programs(file_format):
    content = crafted.encoded(PHOTO, file_format)
    pixels = with_workers(lambda pool: pool.decode(content, contract.header(content)))
    np.testing.assert_array_equal(pixels, images.decode(content, "image"))


def test_a_damaged_image_is_a_refusal_and_the_process_lives():
    async def use(pool):
        before = processes(pool)
        with pytest.raises(Refusal, match="not a readable image") as refusal:
            await pool.decode(PNG[:200], contract.header(PNG))
        await pool.decode(PNG, contract.header(PNG))
        return refusal.value.status, processes(pool) == before

    status, same = with_workers(use)
    assert status == 400
    assert same


def test_a_process_that_takes_too_long_is_ended_and_followed_by_another(monkeypatch):
    monkeypatch.setattr(workers, "_CPU_SECS", 1)
    content = heavy()

    async def use(pool):
        header = contract.header(content)
        start = time.monotonic()
        slow = asyncio.gather(*[pool.decode(content, header) for _ in range(2)], return_exceptions=True)
        await asyncio.sleep(0.1)
        quick = await pool.decode(PNG, contract.header(PNG))  # large tasks leave one process to small ones
        between = time.monotonic() - start
        refusals = await slow
        after = await pool.decode(PNG, contract.header(PNG))
        return refusals, between, time.monotonic() - start, quick.shape, after.shape

    refusals, between, total, *shapes = with_workers(use)
    assert [(refusal.status, "too long" in str(refusal)) for refusal in refusals] == [(413, True)] * 2
    assert between < total
    assert shapes == [(40, 56, 3)] * 2


def test_who_waits_too_long_is_told_and_nothing_runs_on():
    content = heavy()

    async def use(pool):
        started = processes(pool)
        with pytest.raises(Refusal) as refusal:
            await deadline.in_time(pool.decode(content, contract.header(content)), 1.0, Refusal(504, "Timed out"))
        await asyncio.sleep(0.5)
        ended = [process.poll() for process in started]
        await pool.decode(PNG, contract.header(PNG))
        return refusal.value.status, ended

    status, ended = with_workers(use)
    assert status == 504
    assert sorted(ended, key=str) == [-signal.SIGKILL, None]


def test_a_process_that_was_killed_is_replaced():
    async def use(pool):
        for process in processes(pool):
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        return await pool.decode(PNG, contract.header(PNG))

    assert with_workers(use).shape == (40, 56, 3)


def test_an_error_of_the_project_itself_is_no_fault_of_the_client():
    async def use(pool):
        with pytest.raises(RuntimeError, match="a worker ended with exit code 1"):
            await pool._do({"do": "nothing"}, PNG, False)
        return await pool.decode(PNG, contract.header(PNG))

    assert with_workers(use).shape == (40, 56, 3)


def test_a_task_that_does_not_even_fit_is_refused(monkeypatch):
    monkeypatch.setattr(workers, "_OVERHEAD", 16 << 20)

    async def use(pool):
        with pytest.raises(Refusal, match="ends the process") as refusal:
            await pool.parse(bytes(64 << 20), SIGNATURES)
        return refusal.value.status

    assert with_workers(use, max_request_bytes=1000, max_pixels=1000) == 413


def test_what_takes_more_memory_than_a_process_may_have_is_refused(monkeypatch):
    monkeypatch.setattr(workers, "_OVERHEAD", 16 << 20)
    body = b'{"instances": [' + b"[]," * 2_000_000 + b"[]]}"  # 6 MB of text, 130 MB of lists

    async def use(pool):
        with pytest.raises(Refusal) as refusal:
            await pool.parse(body, SIGNATURES)
        return refusal.value.status, await pool.decode(PNG, contract.header(PNG))

    status, after = with_workers(use, max_request_bytes=1000, max_pixels=1000)
    assert status == 413
    assert after.shape == (40, 56, 3)


def test_too_many_that_wait_are_refused_at_once():
    async def use(pool):
        header = contract.header(PNG)
        return await asyncio.gather(*[pool.decode(PNG, header) for _ in range(5)], return_exceptions=True)

    results = with_workers(use, max_queue_size=3)
    assert [getattr(result, "status", 200) for result in results] == [200] * 3 + [503] * 2


def test_a_worker_needs_no_tensorflow():
    module = "deeplab.serving.reading.worker"
    code = f"import sys, {module}; print([m for m in ('tensorflow', 'starlette') if m in sys.modules])"
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=path, check=True).stdout == b"[]\n"
