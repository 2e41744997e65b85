"""What a training reports while it runs: lines on the terminal, metrics.jsonl for programs, curves for TensorBoard."""

import contextlib
import json
import math
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow.core.util import event_pb2

from deeplab.config.training import TrainConfig
from deeplab.files import atomic
from deeplab.pictures import drawing
from deeplab.pictures.bands import shown

METRICS_FILE = "metrics.jsonl"
_PICTURES = 3  # images per set of sample pictures


class Progress:
    """Reports on the steps of a training.

    Args:
      config: the TrainConfig; the reports go to its train_logdir.
      start_step: the step at which the training begins or is resumed. What was reported about later steps is removed,
        because these steps are taken again.
      writes: False in every process but one of a training on several machines: the others stay silent.
      sample: None, or a function (step, count) -> (images, labels, predictions) of so many examples, for pictures.
      colors: (256, 3) uint8, the colour of every label.
    """

    def __init__(
        self,
        config: TrainConfig,
        start_step: int = 0,
        writes: bool = True,
        sample: Callable[[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None,
        colors: np.ndarray | None = None,
    ):
        self.config, self.writes = config, writes
        self.sample, self.colors = sample, colors
        self.tracker = None  # a `tracking.feed.Feed`, which hears what metrics.jsonl and TensorBoard hear
        # Time that is left is estimated without the first call, which takes long: TensorFlow traces the step in it.
        self._timed_steps, self._timed_seconds, self._traced = 0, 0.0, False
        self._pictured = time.monotonic()
        if writes:
            self._metrics = tf.io.gfile.join(config.train_logdir, METRICS_FILE)
            _forget_after(self._metrics, start_step)
            _forget_curves_after(config.train_logdir, start_step)
            self._writer = tf.summary.create_file_writer(config.train_logdir)

    def say(self, text):
        """Prints a line at once, also into a pipe."""
        if self.writes:
            print(text, flush=True)

    def after(self, step, results, steps, seconds):
        """Reports what is due after `step` updates.

        Args:
          step: updates so far.
          results: {name: float} of the last step.
          steps: how many steps were taken since the last report.
          seconds: how long they took.
        """
        if not self.writes:
            return
        if self._traced:
            self._timed_steps += steps
            self._timed_seconds += seconds
        self._traced = True
        run, last = self.config.run, step == self.config.schedule.training_number_of_steps
        if step % run.log_steps == 0 or last:
            rate = self.config.train_batch_size * steps / max(seconds, 1e-9)
            self.say(self._line(step, results, rate))
            self.note(step, {**results, "images_per_second": rate})
        due = time.monotonic() - self._pictured > run.save_summaries_secs
        if self.sample and run.save_summaries_images and (due or last):
            self._pictures(step)
            self._pictured = time.monotonic()

    def note(self, step, values):
        """Adds {name: float} after `step` updates to metrics.jsonl and to the curves of TensorBoard.

        A value that is not finite is null in metrics.jsonl.
        """
        if not self.writes:
            return
        with tf.io.gfile.GFile(self._metrics, "a") as file:
            file.write(json.dumps({"step": step, **_finite(values)}, allow_nan=False) + "\n")
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()
        if self.tracker:
            self.tracker.values(step, _finite(values))

    def _line(self, step, results, rate):
        total = self.config.schedule.training_number_of_steps
        left = "time left unknown yet"
        if self._timed_steps:
            left = time_text((total - step) * self._timed_seconds / self._timed_steps) + " left"
        skipped = f"  {results['skipped_steps']:.0f} steps skipped" if results.get("skipped_steps") else ""
        return (
            f"step {step}/{total}  loss {results['loss']:.4f}  learning rate {results['learning_rate']:.3g}  "
            f"{rate:.1f} images/s  {left}{skipped}"
        )

    def _pictures(self, step):
        """Shows image, label and prediction side by side, (N, H, 3 W, 3), in TensorBoard."""
        images, labels, predictions = self.sample(step, _PICTURES)
        rows = [
            np.concatenate(
                [shown.rgb(image), drawing.colorize(label, self.colors), drawing.colorize(guess, self.colors)], axis=1
            )
            for image, label, guess in zip(images, labels, predictions, strict=True)
        ]
        with self._writer.as_default(step=step):
            tf.summary.image("image, label, prediction", np.stack(rows), max_outputs=_PICTURES)
        self._writer.flush()
        if self.tracker:
            self.tracker.pictures(step, [drawing.png_of(row) for row in rows])


def time_text(seconds):
    """Returns seconds as h:mm:ss."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _forget_after(path, step):
    """Removes the lines of later steps, and the unfinished last line of a process that was killed."""
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
    atomic.write(path, "".join(kept))


def _forget_curves_after(folder, step):
    """Removes the points and pictures of later steps from the event files, so that TensorBoard shows no step twice.

    TensorBoard itself drops such points when it reads an event that says "start". Its `EventAccumulator`, with which
    programs read curves, does not do that for the kind of points that TensorFlow 2 writes. The files are therefore
    written again.
    """
    for path in tf.io.gfile.glob(tf.io.gfile.join(folder, "events.out.tfevents.*")):
        if any(later > step for later, _record in _events(path)):
            with atomic.replacing(path) as unfinished, tf.io.TFRecordWriter(unfinished) as writer:
                for at, record in _events(path):
                    if at <= step:
                        writer.write(record)


def _events(path):
    """Yields (step, serialized event) of an event file; a process that was killed leaves half an event at the end."""
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield event_pb2.Event.FromString(record).step, record


def _finite(values):
    """Returns {name: number} with None, which is null in JSON, in place of what is not finite and no JSON number."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _step(line):
    """Returns the step of a line, or infinity for half a line, which a full disk leaves behind."""
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return math.inf
