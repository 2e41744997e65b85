"""A queue of limited length in front of the network, from which requests of one shape are taken and run together.

A large request runs in pieces. Requests take turns by pieces, so that a large one does not hold up the others, and what
is left of a request is dropped when its time is up or its client went away.

Threads run the network, and the event loop takes what they give without a task of its own. On a GPU there is one
thread, because a batch uses the whole GPU. On a CPU two batches run at a time, see `inference.two_at_once`.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import math
import time

from deeplab.serving import deadline
from deeplab.serving.computing.jobs import Job, NotByImageError, run_together
from deeplab.serving.reading.contract import Refusal

_SMALL = 8  # a piece of this part of max_pixels is small: it may run beside a piece with max_pixels
_PATIENCE = 8  # times that smaller requests may overtake the one whose turn it is, before they have to wait for it


class Batcher:
    """Runs jobs in batches.

    Args:
      config: a `ServeConfig`.
      observe: function that is called with the number of images of every batch that ran.
      at_once: number of batches that run at a time. Together they have no more pixels than a batch may have and an
        eighth of that, so that a small request need not wait for a large one.
      expects: function (number of requests inside) -> whether further requests are on their way. Only then does a
        request wait for others to run together with.
    """

    def __init__(self, config, observe=lambda count: None, at_once=1, expects=lambda inside: True):
        self._config, self._observe, self._at_once, self._expects = config, observe, at_once, expects
        self._small = max(1, config.max_pixels // _SMALL)
        self._waiting = []  # jobs with pieces that do not run yet, the next one first
        self._running = {}  # {future of the thread: the pixels of its batch}
        self._inside = 0
        self._loop = None  # the event loop, once batches may run
        self._pause = None  # the timer while further requests are waited for
        self._stopped = False
        self._threads = concurrent.futures.ThreadPoolExecutor(at_once, "network")

    def __len__(self):
        return len(self._waiting)

    @property
    def is_full(self):
        """Whether a further request would be refused."""
        self._drop_ended()
        return len(self._waiting) >= self._config.max_queue_size

    @property
    def oldest_secs(self):
        """For how many seconds the oldest request waits of which nothing ran yet; 0 without one."""
        self._drop_ended()
        return max((time.monotonic() - job.arrived for job in self._waiting if not job.has_begun), default=0.0)

    async def submit(self, model, signature, inputs, pixels=0):
        """Waits for a turn, and returns {output: array}. To cancel this drops the pieces that do not run yet.

        Args:
          model: a `ServedModel`.
          signature: name of one of its signatures.
          inputs: {input: array}.
          pixels: number of pixels of all images.

        Raises:
          Refusal: 503 if the queue is full or the server stops, or what `ServedModel.run` raises.
        """
        if self._stopped:
            raise Refusal(503, deadline.STOPPING)
        if self.is_full:
            raise Refusal(503, "The queue is full; try again later")
        job = Job(model, signature, inputs, pixels, asyncio.get_running_loop().create_future())
        job.divide(self._config.max_batch_size, self._small)
        self._waiting.append(job)
        self._inside += 1
        try:
            self._run_next()
            outputs = await job.future
            deadline.count_network(job.seconds)
            return outputs
        finally:
            self._inside -= 1

    def start(self):
        """Begins to run batches, in threads and with the event loop that runs now; before, requests only wait."""
        self._loop = asyncio.get_running_loop()
        self._run_next()

    def stop(self):
        """Refuses what waits and what will come. Requests of which all pieces run or have run are answered."""
        self._stopped = True
        for job in self._waiting:
            if not job.future.done():
                job.future.set_exception(Refusal(503, deadline.STOPPING))
        self._waiting = []

    def _run_next(self, have_waited=False):
        """Begins as many batches as may run, unless further requests are waited for."""
        while self._loop and not self._pause and self._waiting and len(self._running) < self._at_once:
            more = len(self._waiting) < self._config.max_batch_size and self._expects(self._inside)
            if more and not have_waited:
                self._pause = self._loop.call_later(self._config.batch_timeout_ms / 1000, self._go_on)
                return
            have_waited = False
            batch = self._take()
            if not batch:
                return
            self._begin(batch)

    def _go_on(self):
        self._pause = None
        self._run_next(have_waited=True)

    def _drop_ended(self):
        """Removes the jobs from the queue that nobody waits for any longer."""
        self._waiting = [job for job in self._waiting if not job.future.done()]

    def _take(self):
        """Removes the next piece and the pieces that can run with it from the queue, and returns them.

        The next piece is the first one that has room beside what runs. Returns [] if there is none.
        """
        self._drop_ended()
        first = self._first_with_room(sum(self._running.values()))
        if first is None:
            return []
        jobs, count, pixels = [first], first.next.count, first.next.pixels
        for job in self._waiting:
            fits = count + job.next.count <= self._config.max_batch_size
            fits = fits and pixels + job.next.pixels <= self._config.max_pixels - sum(self._running.values())
            if job is not first and job.key is not None and job.key == first.key and fits:
                jobs.append(job)
                count, pixels = count + job.next.count, pixels + job.next.pixels
        batch = [job.take() for job in jobs]
        others = [job for job in self._waiting if job not in jobs]
        self._waiting = others + [job for job in jobs if job.pieces]  # these have had a turn
        return batch

    def _first_with_room(self, beside):
        """Returns the first job whose next piece has room beside batches with so many pixels; None without one.

        A job that was overtaken often is waited for, so that small requests do not keep out a large one.
        """
        room = self._config.max_pixels + self._small - beside if self._running else math.inf
        for place, job in enumerate(self._waiting):
            if job.next.pixels <= room:
                for other in self._waiting[:place]:
                    other.overtaken += 1
                return job
            if job.overtaken >= _PATIENCE:
                return None
        return None

    def _begin(self, batch, others=()):
        """Runs a batch in a thread, and after it, in its place, the batches `others`."""
        running = self._threads.submit(run_together, batch)
        self._running[running] = sum(piece.pixels for piece in batch)
        running.add_done_callback(functools.partial(self._tell, batch, others))

    def _tell(self, batch, others, running):
        """Tells the event loop, from the thread, that a batch has ended."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for the batch
            self._loop.call_soon_threadsafe(self._ended, batch, others, running)

    def _ended(self, batch, others, running):
        """Passes on the outputs. If the batch failed, its pieces run one by one: one bad request fails no others."""
        del self._running[running]
        if not self._pass_on(batch, running) and len(batch) > 1:
            others = [[piece] for piece in batch]
        others = [other for other in others if not other[0].job.future.done()]
        if others:
            self._begin(others[0], others[1:])
        self._run_next()

    def _pass_on(self, batch, running):
        """Gives each job its part of the outputs of a batch.

        Returns:
          True if it ran. An error is passed to the job if there is only one; several jobs are left as they are.
        """
        try:
            parts, seconds = running.result()
        except NotByImageError:
            if len(batch) == 1:
                self._keep_whole(batch[0].job)
            return False
        except Exception as error:
            if len(batch) == 1 and not batch[0].job.future.done():
                batch[0].job.future.set_exception(error)
            return False
        self._observe(sum(piece.count for piece in batch))
        for piece, part in zip(batch, parts, strict=True):
            piece.job.give(piece, part, seconds)
        return True

    def _keep_whole(self, job):
        """Runs a job as one piece after all, and next: what it has computed so far is of no use."""
        if not job.is_whole and not job.future.done():
            job.keep_whole()
            self._waiting = [job] + [other for other in self._waiting if other is not job]
