"""A queue of limited length in front of the network, from which requests of one shape are taken and run together.

One thread runs the network, since TensorFlow uses all cores for one batch already; the event loop only waits for it.
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
    """Runs jobs, one batch at a time.

    Args:
      config: a `ServeConfig`.
      observe: function that is called with the number of images of every batch that ran.
    """

    def __init__(self, config, observe=lambda count: None):
        self._config, self._observe = config, observe
        self._waiting = []
        self._arrived = asyncio.Event()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "network")

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
        while True:
            await self._arrived.wait()
            if len(self._waiting) < self._config.max_batch_size:
                await asyncio.sleep(self._config.batch_timeout_ms / 1000)
            batch = self._take()
            if not batch:
                self._arrived.clear()
            elif not await self._run(batch) and len(batch) > 1:
                for job in batch:  # one by one, so that one bad request does not fail the others
                    await self._run([job])

    def _take(self):
        """Removes the oldest job and the jobs that can run with it from the queue, and returns them."""
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
        """Runs jobs as one batch, and gives each its part of the outputs.

        Returns:
          True if they ran. An error is passed to the job if there is only one; several jobs are left as they are.
        """
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
    """Returns the {output: array} of every job, whose numbers of images are `counts`."""
    if any(len(array) != sum(counts) for array in outputs.values()):
        raise ValueError("an output without one entry per image")
    ends = np.cumsum(counts)[:-1]
    pieces = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(len(counts))]
