"""`eval --dry_run`: predicts a few images, and says how long all of them would take."""

import contextlib
import time

from deeplab.files import room
from deeplab.training.progress import time_text

TIMED_IMAGES = 5
_RESULTS_BYTES = 2 << 20  # tables, plots and scalars of one evaluation


def tell(opened, folder, times=1):
    """Predicts a few images with each candidate, and prints how long all images would take; writes nothing.

    Args:
      opened: the `candidates.Candidate`s.
      folder: where the results would go.
      times: how often the images are scored, with so many checkpoints.

    Raises:
      UserError: what an evaluation raises for these images, or the results could not be written.
    """
    disk = room.require(folder, "eval_logdir", _RESULTS_BYTES * len(opened))
    for candidate in opened:
        print(candidate.title, flush=True)
        watch = _Stopwatch()
        with contextlib.suppress(_Enough):
            candidate.score([watch])
        images = candidate.facts["num_images"] * times
        print(
            f"Images: {images}{f', {times} checkpoints each' if times > 1 else ''}; "
            f"{time_text(images * watch.seconds())} (h:mm:ss) at {watch.seconds():.3g} s an image, measured on "
            f"{len(watch.moments)}"
        )
    print(f"Disk: {disk}\nNothing was written; the same command without --dry_run scores", flush=True)


class _Enough(Exception):
    """Ends an evaluation that has predicted as many images as were to be timed."""


class _Stopwatch:
    """A `scoring.Collector` that keeps the time, and ends the evaluation after a few images."""

    def __init__(self):
        self.began, self.moments = time.perf_counter(), []

    def add(self, _label, _prediction):
        self.moments.append(time.perf_counter())
        if len(self.moments) > TIMED_IMAGES:
            raise _Enough

    def seconds(self):
        """Returns the seconds of an image. The first one is left out, in which TensorFlow traces, if there are more."""
        if len(self.moments) > 1:
            return (self.moments[-1] - self.moments[0]) / (len(self.moments) - 1)
        return self.moments[-1] - self.began
