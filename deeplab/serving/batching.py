"""A bounded queue in front of the network; requests of one shape run together."""

import asyncio
import concurrent.futures
import dataclasses

import numpy as np

from deeplab.serving.contract import Refusal


@dataclasses.dataclass(eq=False)
class Job:
    model: object
    signature: str
    inputs: dict
    pixels: int
    future: asyncio.Future

    @property
    def key(self):
        """What jobs must share to run together; None: it runs alone."""
        specs = self.model.signatures[self.signature].inputs
        if any(not spec.shape or spec.shape[0] is not None for spec in specs.values()):
            return None
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(self.inputs.items()))
        return (id(self.model), self.signature, shapes) if len({len(a) for a in self.inputs.values()}) == 1 else None

    @property
    def count(self):
        return len(next(iter(self.inputs.values()))) if self.key else 1


class Batcher:
    """Runs jobs one batch at a time in a thread of its own; `config` is a `ServeConfig`."""

    def __init__(self, config, observe=lambda count: None):
        self._config, self._observe = config, observe
        self._waiting = []
        self._arrived = asyncio.Event()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "network")

    def __len__(self):
        return len(self._waiting)

    async def submit(self, model, signature, inputs, pixels=0):
        """Returns {output: array}; a `Refusal` 503 where the queue is full, 504 after the time limit."""
        self._waiting = [job for job in self._waiting if not job.future.done()]
        if len(self._waiting) >= self._config.max_queue_size:
            raise Refusal(503, "The queue is full; try again later")
        job = Job(model, signature, inputs, pixels, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._arrived.set()
        try:
            return await asyncio.wait_for(job.future, self._config.request_timeout_secs)
        except asyncio.TimeoutError:
            raise Refusal(504, "Timed out") from None

    async def serve(self):
        """Runs batches until it is cancelled."""
        while True:
            await self._arrived.wait()
            if len(self._waiting) < self._config.max_batch_size:
                await asyncio.sleep(self._config.batch_timeout_ms / 1000)
            batch = self._take()
            if not batch:
                self._arrived.clear()
            elif not await self._run(batch) and len(batch) > 1:
                for job in batch:  # one bad request must not fail the others
                    await self._run([job])

    def _take(self):
        """Removes and returns the oldest job and those that may run with it."""
        self._waiting = [job for job in self._waiting if not job.future.done()]
        if not self._waiting:
            return []
        batch = [self._waiting[0]]
        count, pixels = batch[0].count, batch[0].pixels
        for job in self._waiting[1:]:
            fits = count + job.count <= self._config.max_batch_size and pixels + job.pixels <= self._config.max_pixels
            if job.key is not None and job.key == batch[0].key and fits:
                batch.append(job)
                count, pixels = count + job.count, pixels + job.pixels
        self._waiting = [job for job in self._waiting if job not in batch]
        return batch

    async def _run(self, batch):
        """Runs jobs as one and hands out the results; returns False where several failed together."""
        first, counts = batch[0], [job.count for job in batch]
        try:
            inputs = first.inputs
            if len(batch) > 1:
                inputs = {name: np.concatenate([job.inputs[name] for job in batch]) for name in inputs}
            loop = asyncio.get_running_loop()
            outputs = await loop.run_in_executor(self._thread, first.model.run, first.signature, inputs)
            parts = [outputs] if len(batch) == 1 else _split(outputs, counts)
        except Exception as error:
            if len(batch) > 1:
                return False
            if not first.future.done():
                first.future.set_exception(error)
            return False
        self._observe(sum(counts))
        for job, part in zip(batch, parts, strict=True):
            if not job.future.done():
                job.future.set_result(part)
        return True


def _split(outputs, counts):
    if any(len(array) != sum(counts) for array in outputs.values()):
        raise ValueError("an output without one entry per image")
    ends = np.cumsum(counts)[:-1]
    pieces = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(len(counts))]
