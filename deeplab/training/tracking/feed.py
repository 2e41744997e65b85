"""The training's side of a tracker: what it hears, and the child process that tells it, see `messages`.

The training never waits for the tracker while it takes steps. What it says goes into a queue of bounded length, from
which a thread writes to the child. A tracker that fails or is silent costs one line.
"""

import base64
import json
import os
import queue
import subprocess
import sys
import threading
import time

from deeplab.errors import one_line
from deeplab.training.tracking import messages

_MOST_WAITING = 2000  # messages; a tracker that is so far behind loses the next ones
_LAST_WAIT = {messages.FINISHED: 60, messages.STOPPED: 5, messages.FAILED: 10}  # seconds without an answer
_UPLOAD_WAIT = 900  # seconds for a checkpoint, which may have gigabytes


class Feed:
    """One run of a tracker.

    Args:
      command: starts the child, a list of words.
      begin: the content of the first message.
      say: prints a line.
      remember: function (id of the run), called once it is known.
    """

    def __init__(self, command, begin, say, remember):
        self._say, self._remember, self._id = say, remember, None
        self._lost = 0  # messages
        self._heard, self._over = time.monotonic(), threading.Event()
        self._queue = queue.Queue(_MOST_WAITING)
        self._child = subprocess.Popen(
            command,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C and the signals of a scheduler are for the training
        )
        for target in (self._write, self._read):
            threading.Thread(target=target, daemon=True).start()
        self._put(begin=begin)

    def values(self, step, values):
        """Tells {name: number or None} after `step` updates."""
        self._put(values=values, step=step)

    def pictures(self, step, files):
        """Tells of pictures, a list of the bytes of PNG files."""
        self._put(pictures=[base64.b64encode(file).decode() for file in files], step=step)

    def end(self, status, step, files):
        """Tells how the training ended, waits a while for the tracker, and ends the child.

        Args:
          status: one of those in `messages`.
          step: updates so far.
          files: {name: local path} of the checkpoint that the tracker keeps; {} for none.
        """
        if files:
            self._put(artifact=files, step=step)
        self._put(end=status)
        wait = _UPLOAD_WAIT if files and self._id else _LAST_WAIT[status]
        self._heard = time.monotonic()
        while not self._over.wait(0.05) and time.monotonic() - self._heard < wait:
            pass
        if not self._over.is_set():
            self._fail(f"no answer for {wait} seconds")
        if self._lost:
            self._say(f"The tracker was too slow for {self._lost} of the reports; metrics.jsonl holds all of them")
        self._child.kill()
        self._child.wait()

    def _put(self, **message):
        if self._over.is_set():
            return
        try:
            self._queue.put_nowait(messages.line(**message))
        except queue.Full:
            self._lost += 1

    def _write(self):
        """Writes the messages of the queue to the child; runs in a thread."""
        try:
            while not self._over.is_set():
                self._child.stdin.write(self._queue.get())
                self._child.stdin.flush()
        except OSError:  # the child has ended, of which `_read` tells
            pass

    def _read(self):
        """Reads the answers of the child; runs in a thread."""
        try:
            for line in self._child.stdout:
                self._heard = time.monotonic()
                self._hear(json.loads(line))
            self._fail("its process ended")
        except Exception as error:  # a disk that is full, or what is no answer: nothing of it may stop the training
            self._fail(one_line(error))

    def _hear(self, answer):
        if "error" in answer:
            self._fail(answer["error"])
        elif "id" in answer:
            self._id = answer["id"]
            self._remember(self._id)
        elif answer.get("ended"):
            self._over.set()

    def _fail(self, reason):
        """Says, once, that the tracker gets nothing more."""
        if not self._over.is_set():
            self._over.set()
            self._say(f"The tracker gets no more reports ({reason}); the training goes on, and metrics.jsonl has all")


def command(tracker):
    """Returns the words that start the child of a tracker."""
    return [sys.executable, "-m", "deeplab.training.tracking.child", tracker]


def _environment():
    """Returns the environment of the child, in which it finds this package."""
    above = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    searched = os.pathsep.join(filter(None, (above, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": searched}
