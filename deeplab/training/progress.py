"""What a training tells while it runs: a line for the eye, metrics.jsonl for programs, curves for TensorBoard."""

import json
import math
import time

import numpy as np
import tensorflow as tf

from deeplab.files import atomic
from deeplab.pictures import drawing

METRICS_FILE = "metrics.jsonl"
_PICTURES = 3  # images per set of sample pictures


class Progress:
    """Reports on the steps that were taken.

    Args:
      folder: the train_logdir, or None for a worker that stays silent.
      config: a TrainConfig.
      start_step: the step that training begins or goes on at; what was noted of later ones is removed.
      sample: None, or a function step -> (images, labels, predictions) of a few examples, for pictures.
      colors: (256, 3) uint8, colour of every label.
    """

    def __init__(self, folder, config, start_step=0, sample=None, colors=None):
        self.config, self.sample, self.colors = config, sample, colors
        self.folder, self.writer = folder, None
        self._timed = [0, 0.0]  # steps, seconds of this process, without its first call (tracing)
        self._called, self._pictured = False, time.monotonic()
        if folder is not None:
            self.writer = tf.summary.create_file_writer(folder)
            self.metrics = tf.io.gfile.join(folder, METRICS_FILE)
            _forget_after(self.metrics, start_step)

    def say(self, text):
        """Prints a line at once, also into a pipe."""
        if self.folder is not None:
            print(text, flush=True)

    def after(self, step, results, steps, seconds):
        """Reports the results of the step before `step`; the last `steps` steps took `seconds`."""
        if self.folder is None:
            return
        if self._called:
            self._timed = [self._timed[0] + steps, self._timed[1] + seconds]
        self._called = True
        rate = self.config.train_batch_size * steps / max(seconds, 1e-9)
        if step % self.config.run.log_steps == 0 or step == self.config.schedule.training_number_of_steps:
            self.say(self._line(step, results, rate))
            self.note(step, {**results, "images_per_second": rate})
        due = time.monotonic() - self._pictured > self.config.run.save_summaries_secs
        last = step == self.config.schedule.training_number_of_steps
        if self.sample and self.config.run.save_summaries_images and (due or last):
            self._pictures(step)
            self._pictured = time.monotonic()

    def note(self, step, values):
        """Adds {name: float} at `step` to metrics.jsonl and to the curves."""
        if self.folder is None:
            return
        with tf.io.gfile.GFile(self.metrics, "a") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.writer.flush()

    def _line(self, step, results, rate):
        total = self.config.schedule.training_number_of_steps
        steps, seconds = self._timed
        left = time_text((total - step) * seconds / steps) + " left" if steps else "time left unknown yet"
        return (
            f"step {step}/{total}  loss {results['loss']:.4f}  learning rate {results['learning_rate']:.3g}  "
            f"{rate:.1f} images/s  {left}"
        )

    def _pictures(self, step):
        images, labels, predictions = self.sample(step)
        rows = [
            np.concatenate([image, drawing.colorize(label, self.colors), drawing.colorize(guess, self.colors)], axis=1)
            for image, label, guess in zip(images[:_PICTURES], labels, predictions, strict=False)
        ]
        with self.writer.as_default(step=step):
            tf.summary.image("image, label, prediction", np.stack(rows), max_outputs=_PICTURES)
        self.writer.flush()


def time_text(seconds):
    """Returns seconds as h:mm:ss."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _forget_after(path, step):
    """Removes the lines of later steps, and a last line that a killed process left unfinished."""
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path) as file:
        lines = file.read().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
    atomic.write(path, "".join(kept))


def _step(line):
    """Returns the step of a line; infinity where a full disk left half of it."""
    try:
        return json.loads(line)["step"]
    except (ValueError, TypeError, KeyError):
        return math.inf
