"""Reads, segments and writes many images side by side, so that the device that segments waits for nobody.

Threads read the next images and write the results of earlier ones while the device segments a batch. Decoders, encoders
and the device release Python's lock, so that the threads use all cores. What is in memory is bounded: by the number of
images, and by their pixels, so that large images are not collected.
"""

import collections
import concurrent.futures
import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from deeplab.errors import lack_of_memory
from deeplab.files import progress_bar
from deeplab.inference import two_at_once
from deeplab.layers import hardware

_WINDOWS = 8  # full batches are looked for among the images of so many batches
_MOST_THREADS = 16  # of each kind


class Stages(NamedTuple):
    """What is done with every item, in this order. Threads call `measure`, `read` and `write`, several at a time.

    Attributes:
      measure: item -> (height, width) of its image, or None if it is no image.
      read: item -> what is segmented.
      key: (height, width) -> what images of one batch have in common.
      batch_size: (height, width) -> the most images in a batch.
      start: what was read for the items of a batch -> a function that returns their results as a list. The device may
        still compute the results when the first function returns, or the second function computes them.
      write: (item, what was read, its result) -> a value for the caller.
      problem: (item, error that one of the above raised) -> a sentence; or None if the error does not concern this item
        alone, so that everything ends.
    """

    measure: Callable[[Any], tuple[int, int] | None]
    read: Callable[[Any], Any]
    key: Callable[[int, int], Hashable]
    batch_size: Callable[[int, int], int]
    start: Callable[[Sequence[Any]], Callable[[], Sequence[Any]]]
    write: Callable[[Any, Any, Any], Any]
    problem: Callable[[Any, Exception], str | None]


class Limits(NamedTuple):
    """How much happens at the same time.

    Attributes:
      threads: that read; as many others write.
      images: that are in memory: being read, segmented or written.
      pixels: of all these images together. A larger image is in memory alone.
      window: so many neighbouring images may change their order, so that batches become full.
      early_pixels: a batch is started before the results of the batch before it are fetched, if the two have no more
        pixels than this together.
      segmenting: so many threads fetch results; 0 where the device computes on its own while Python goes on.
    """

    threads: int
    images: int
    pixels: int
    window: int
    early_pixels: int
    segmenting: int = 0


class Outcome(NamedTuple):
    """What became of an item: the value that `write` returned, or the sentence that says what went wrong."""

    item: Any
    value: Any = None
    problem: str | None = None


def limits(largest_batch):
    """Returns the `Limits` that suit this machine and the largest number of images in a batch.

    Where the network runs on the CPU, it uses all cores. One thread that reads and one that writes are then enough.
    """
    accelerated = hardware.is_accelerated()
    threads = min(_MOST_THREADS, os.cpu_count() or 1) if accelerated else 1
    return Limits(
        threads=threads,
        # A batch is read, one is segmented, or two on a CPU, and one is written.
        images=(2 + two_at_once.networks()) * largest_batch + threads,
        pixels=2**26 if accelerated else 2**24,
        window=_WINDOWS * largest_batch if largest_batch > 1 else 1,
        early_pixels=2**26 if accelerated else two_at_once.PIXELS,
        segmenting=0 if accelerated else two_at_once.networks(),
    )


@contextlib.contextmanager
def run(items, stages, limits):
    """Gives, for a `with` block, an iterator over the `Outcome` of every item, in the order of the items.

    An error of one item is its outcome. The iterator raises other errors, and nothing is written any more after them.
    If the device has too little memory for a batch, images are segmented one at a time. At the end of the block, also
    after an exception, writing that has begun is completed and nothing else is done.

    Args:
      items: the items, an iterable.
      stages: `Stages`.
      limits: `Limits`.
    """
    counts = (1, limits.threads, limits.threads, limits.segmenting or 1)
    pools = [concurrent.futures.ThreadPoolExecutor(count) for count in counts]
    try:
        yield _Line(stages, limits, *pools).outcomes(items)
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown(wait=True)


class _Entry:
    """One item on its way: `picture` and `written` are the futures of reading and writing, `outcome` is the end."""

    def __init__(self, item, size):
        self.item, self.size = item, size
        self.pixels = size[0] * size[1] if size else 0
        self.picture = None
        self.written = None
        self.outcome = None


class _Line:
    """The items on their way. All methods run in one thread."""

    def __init__(self, stages, limits, measuring, reading, writing, segmenting):
        self._stages, self._limits = stages, limits
        self._measuring, self._reading, self._writing = measuring, reading, writing
        self._segmenting = segmenting if limits.segmenting else None
        self._unreported = collections.deque()  # entries in the order of the items
        self._read = collections.deque()  # batches that are being read
        self._started = None  # (entries, function that returns their results) of the batch that the device computes
        self._written = collections.deque()  # entries that are being written
        self._images = self._pixels = 0  # in memory
        self._broken = threading.Event()  # an error was raised that ends everything
        self._alone = False  # whether batches have turned out to be too large for the memory

    def outcomes(self, items: Iterable[Any]) -> Iterator[Outcome]:
        """Yields the `Outcome` of every item, in order."""
        for batch in self._batches(items):
            pixels = sum(entry.pixels for entry in batch)
            while self._images and not self._have_room(len(batch), pixels):
                self._advance()
                yield from self._report()
            self._images, self._pixels = self._images + len(batch), self._pixels + pixels
            for entry in batch:
                entry.picture = self._reading.submit(self._stages.read, entry.item)
            self._read.append(batch)
            yield from self._report()
        while self._images:
            self._advance()
            yield from self._report()

    def _batches(self, items):
        """Yields lists of entries that are segmented together, as soon as the sizes of their window are known."""
        sized = self._sized(items)
        while window := list(itertools.islice(sized, self._limits.window)):
            self._unreported.extend(window)
            alike = collections.defaultdict(list)
            for number, entry in enumerate(window):
                alike[self._stages.key(*entry.size) if entry.size else number].append(entry)
            for entries in alike.values():
                most = self._stages.batch_size(*entries[0].size) if entries[0].size else 1
                yield from _parts(entries, 1 if self._alone else most)

    def _sized(self, items):
        """Yields an `_Entry` for every item; a thread looks at the sizes of the items that follow."""
        waiting = collections.deque()
        for item in items:
            waiting.append((item, self._measuring.submit(self._stages.measure, item)))
            if len(waiting) > 2 * self._limits.window:
                item, size = waiting.popleft()
                yield _Entry(item, size.result())
        for item, size in waiting:
            yield _Entry(item, size.result())

    def _have_room(self, images, pixels):
        return self._images + images <= self._limits.images and self._pixels + pixels <= self._limits.pixels

    def _advance(self):
        """Brings one batch or one result a step further, which may take until it is computed or written."""
        if self._read and self._is_early_enough(self._read[0]):
            before, self._started = self._started, self._start(self._read.popleft())
            self._fetch(before)
        elif self._started:
            before, self._started = self._started, None
            self._fetch(before)
        elif self._written:
            self._finish(self._written.popleft())
        while self._written and self._written[0].written.done():
            self._finish(self._written.popleft())

    def _is_early_enough(self, entries):
        """Tells whether a batch may be started now, beside the batch that was started before it."""
        before = self._started[0] if self._started else []
        return not before or sum(entry.pixels for entry in (*before, *entries)) <= self._limits.early_pixels

    def _start(self, entries):
        """Starts those items of a batch that could be read; returns (entries, function that returns their results)."""
        readable = [entry for entry in entries if entry.picture.exception() is None]
        for entry in entries:
            if error := entry.picture.exception():
                self._fail(entry, error)
        if not readable:
            return None
        try:
            finish = self._stages.start([entry.picture.result() for entry in readable])
            return readable, self._segmenting.submit(finish).result if self._segmenting else finish
        except Exception as error:
            return readable, _raising(error)

    def _fetch(self, started):
        """Fetches the results of a batch that was started, and lets threads write them."""
        if started is None:
            return
        entries, finish = started
        try:
            results = finish()
        except Exception as error:
            if len(entries) == 1:
                self._fail(entries[0], error)
            else:
                self._one_by_one(entries, error)
            return
        for entry, result in zip(entries, results, strict=True):
            entry.written = self._writing.submit(self._write, entry.item, entry.picture.result(), result)
            self._written.append(entry)

    def _one_by_one(self, entries, error):
        """Segments the items of a batch that failed: one of them may be at fault, or all of them are too large."""
        if lack_of_memory(error) and not self._alone:
            self._alone = True
            progress_bar.note(
                f"{len(entries)} images at once need more memory than there is; from here on one at a time"
            )
        for entry in entries:
            self._fetch(self._start([entry]))

    def _write(self, item, picture, result):
        """Runs in a thread."""
        if self._broken.is_set():  # on a full disk, half of the results might still be written
            raise concurrent.futures.CancelledError
        try:
            return self._stages.write(item, picture, result)
        except Exception as error:
            if self._stages.problem(item, error) is None:
                self._broken.set()
            raise

    def _finish(self, entry):
        try:
            value = entry.written.result()
        except Exception as error:
            self._fail(entry, error)
        else:
            self._leave(entry, Outcome(entry.item, value))

    def _fail(self, entry, error):
        """Gives an entry the outcome that an error means, or raises the error."""
        problem = self._stages.problem(entry.item, error)
        if problem is None:
            raise error
        self._leave(entry, Outcome(entry.item, problem=problem))

    def _leave(self, entry, outcome):
        entry.outcome, entry.picture, entry.written = outcome, None, None  # the pixels are not needed any more
        self._images -= 1
        self._pixels -= entry.pixels

    def _report(self):
        while self._unreported and self._unreported[0].outcome:
            yield self._unreported.popleft().outcome


def _raising(error):
    def finish():
        raise error

    return finish


def _parts(entries, most):
    """Divides entries into full batches; what is left over comes in powers of two.

    A GPU's libraries search for the fastest kernels anew for every number of images, so that there should be few.
    """
    while entries:
        count = most if len(entries) >= most else 1 << (len(entries).bit_length() - 1)
        yield entries[:count]
        entries = entries[count:]
