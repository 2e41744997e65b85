"""A queue of limited length in front of the network, from which requests of one shape are taken and run together.

Threads run the network, and the event loop only waits for them. On a GPU there is one thread, because a batch uses the
whole GPU. On a CPU two batches run at a time, see `inference.two_at_once`.
"""

import asyncio
import concurrent.futures
import dataclasses

import numpy as np

from deeplab.serving.contract import Refusal
from deeplab.serving.model import ServedModel


@dataclasses.dataclass(eq=False)
class Job:
    """One request that waits: what it runs, and the future that gets the outputs or an error."""

    model: ServedModel
    signature: str
    inputs: dict[str, np.ndarray]
    pixels: int  # of all images, which a batch may not have too many of
    future: asyncio.Future

    @property
    def key(self):
        """A value that is equal for jobs that can run together; None for a job that must run alone.

        Inputs are joined along their first axis. This needs a signature that takes any number of images, and one
        number of images in all inputs of the job.
        """
        specs = self.model.signatures[self.signature].inputs
        if any(not spec.shape or spec.shape[0] is not None for spec in specs.values()):
            return None
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(self.inputs.items()))
        same_count = len({len(array) for array in self.inputs.values()}) == 1
        return (id(self.model), self.signature, shapes) if same_count else None

    @property
    def count(self):
        """The number of images."""
        return len(next(iter(self.inputs.values()))) if self.key else 1


class Batcher:
    """Runs jobs in batches.

    Args:
      config: a `ServeConfig`.
      observe: function that is called with the number of images of every batch that ran.
      at_once: number of batches that run at a time. Together they have no more pixels than a batch may have.
    """

    def __init__(self, config, observe=lambda count: None, at_once=1):
        self._config, self._observe, self._at_once = config, observe, at_once
        self._waiting = []
        self._arrived = asyncio.Event()
        self._threads = concurrent.futures.ThreadPoolExecutor(at_once, "network")

    def __len__(self):
        return len(self._waiting)

    async def submit(self, model, signature, inputs, pixels=0):
        """Waits for a turn, and returns {output: array}.

        Args:
          model: a `ServedModel`.
          signature: name of one of its signatures.
          inputs: {input: array}.
          pixels: number of pixels of all images.

        Raises:
          Refusal: 503 if the queue is full, 504 after the time limit, or what `ServedModel.run` raises.
        """
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
        """Runs batches until the task is cancelled."""
        running = {}  # {task: the pixels of its batch}
        while True:
            await self._arrived.wait()
            while len(running) >= self._at_once or (running and not self._has_room_beside(sum(running.values()))):
                done, _running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
            if len(self._waiting) < self._config.max_batch_size:
                await asyncio.sleep(self._config.batch_timeout_ms / 1000)
            batch = self._take(sum(running.values()))
            if batch:
                running[asyncio.create_task(self._serve(batch))] = sum(job.pixels for job in batch)
            elif not self._waiting:
                self._arrived.clear()

    async def _serve(self, batch):
        """Runs a batch; if that fails, its jobs one by one, so that one bad request does not fail the others."""
        if not await self._run(batch) and len(batch) > 1:
            for job in batch:
                await self._run([job])

    def _has_room_beside(self, pixels):
        """Tells whether the oldest job may run beside batches with so many pixels."""
        return not self._waiting or pixels + self._waiting[0].pixels <= self._config.max_pixels

    def _take(self, beside=0):
        """Removes the oldest job and the jobs that can run with it from the queue, and returns them.

        Returns [] without a job, or if the oldest one is too large to run beside batches with `beside` pixels.
        """
        self._waiting = [job for job in self._waiting if not job.future.done()]
        if not self._waiting or (beside and not self._has_room_beside(beside)):
            return []
        batch = [self._waiting[0]]
        count, pixels = batch[0].count, beside + batch[0].pixels
        for job in self._waiting[1:]:
            fits = count + job.count <= self._config.max_batch_size and pixels + job.pixels <= self._config.max_pixels
            if job.key is not None and job.key == batch[0].key and fits:
                batch.append(job)
                count, pixels = count + job.count, pixels + job.pixels
        self._waiting = [job for job in self._waiting if job not in batch]
        return batch

    async def _run(self, batch):
        """Runs jobs as one batch, and gives each its part of the outputs.

        Returns:
          True if they ran. An error is passed to the job if there is only one; several jobs are left as they are.
        """
        first, counts = batch[0], [job.count for job in batch]
        try:
            loop = asyncio.get_running_loop()
            parts = await loop.run_in_executor(self._threads, _outputs, batch, counts)
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


def _outputs(batch, counts):
    """Runs jobs as one batch, and returns the {output: array} of every job."""
    first = batch[0]
    if len(batch) == 1:
        return [first.model.run(first.signature, first.inputs)]
    inputs = {name: np.concatenate([job.inputs[name] for job in batch]) for name in first.inputs}
    return _split(first.model.run(first.signature, inputs), counts)


def _split(outputs, counts):
    """Returns the {output: array} of every job, whose numbers of images are `counts`."""
    if any(len(array) != sum(counts) for array in outputs.values()):
        raise ValueError("an output without one entry per image")
    ends = np.cumsum(counts)[:-1]
    pieces = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(len(counts))]
