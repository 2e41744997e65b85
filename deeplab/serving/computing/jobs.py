"""A request that waits for the network, the pieces in which it runs, and the outputs that are joined again."""

import asyncio
import collections
import dataclasses
import functools
import time

import numpy as np

from deeplab.serving.computing.model import ServedModel


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Some images of a job that run together.

    `pixels` is the number of pixels of these images. Of encoded files it is the number of pixels of the whole job,
    because only their sum is known.
    """

    job: "Job"
    start: int
    count: int
    pixels: int

    @property
    def inputs(self):
        """{input: array} of these images."""
        if self.count == self.job.count:
            return self.job.inputs
        return {name: array[self.start : self.start + self.count] for name, array in self.job.inputs.items()}


@dataclasses.dataclass(eq=False)
class Job:
    """One request that waits: what it runs, and the future that gets the outputs or an error."""

    model: ServedModel
    signature: str
    inputs: dict[str, np.ndarray]
    pixels: int  # of all images, which a batch may not have too many of
    future: asyncio.Future
    arrived: float = dataclasses.field(default_factory=time.monotonic)
    pieces: collections.deque[Piece] = dataclasses.field(default_factory=collections.deque)  # that do not run yet
    outputs: dict[int, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)  # by the start of the piece
    seconds: float = 0.0  # that the network has computed for this job
    has_begun: bool = False
    is_whole: bool = False  # its outputs can't be divided among images, so that it runs as one piece
    overtaken: int = 0

    @functools.cached_property
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

    @functools.cached_property
    def count(self):
        """The number of images."""
        return len(next(iter(self.inputs.values()))) if self.key else 1

    @property
    def next(self):
        """The piece whose turn it is."""
        return self.pieces[0]

    def divide(self, max_count, max_pixels):
        """Makes pieces with at most `max_count` images, and at most `max_pixels` pixels unless it is one image."""
        known = all(array.dtype != np.dtype(object) for array in self.inputs.values())
        each = self.pixels / self.count
        if known or self.pixels <= max_pixels:
            step = max(1, min(max_count, int(max_pixels / each) if each else max_count))
        else:
            step = 1  # any of the files may be the one with nearly all of the pixels
        self.pieces.extend(
            Piece(self, start, count, round(each * count) if known else self.pixels)
            for start in range(0, self.count, step)
            for count in [min(step, self.count - start)]
        )

    def take(self):
        """Removes the piece whose turn it is, and returns it."""
        self.has_begun = True
        return self.pieces.popleft()

    def give(self, piece, outputs, seconds):
        """Takes the outputs of a piece, which took so many seconds. With those of the last piece it is answered."""
        self.seconds += seconds
        if self.is_whole and piece.count != self.count:
            return
        self.outputs[piece.start] = outputs
        seen = self.count if self.is_whole else sum(_length(part) for part in self.outputs.values())
        if seen == self.count and not self.future.done():
            parts = [self.outputs[start] for start in sorted(self.outputs)]
            self.future.set_result(parts[0] if len(parts) == 1 else _joined(parts))

    def keep_whole(self):
        """Makes the job one piece again, because its outputs can't be divided among images."""
        self.is_whole, self.outputs = True, {}
        self.pieces = collections.deque([Piece(self, 0, self.count, self.pixels)])


class NotByImageError(Exception):
    """An output of the network has not one entry per image."""


def run_together(batch):
    """Runs pieces as one batch. Returns ([{output: array}], the part of each piece; the seconds of the network).

    Raises:
      NotByImageError: the outputs can't be divided.
      Exception: what `ServedModel.run` raises.
    """
    job, counts = batch[0].job, [piece.count for piece in batch]
    inputs = [piece.inputs for piece in batch]
    inputs = inputs[0] if len(batch) == 1 else _joined(inputs)
    start = time.monotonic()
    outputs = job.model.run(job.signature, inputs)
    seconds = time.monotonic() - start
    if len(batch) == 1 and counts[0] == job.count:
        return [outputs], seconds
    if any(np.ndim(array) == 0 or len(array) != sum(counts) for array in outputs.values()):
        raise NotByImageError
    ends = np.cumsum(counts)[:-1]
    pieces = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: piece[i] for name, piece in pieces.items()} for i in range(len(counts))], seconds


def _joined(parts):
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _length(outputs):
    return len(next(iter(outputs.values())))
