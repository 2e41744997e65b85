"""How much memory a call takes, measured: the network's need per pixel is its own, and nobody has to declare it."""

import contextlib
import gc
import re
import threading
import time

from deeplab import devices

_SAFETY = 1.25  # measured needs vary with the order in which operations run
_USUAL_GROWTH, _BETWEEN_SECS = 1.08, 0.2
LEAST_PER_PIXEL = 100  # bytes: an image as floats, its labels, and one layer


class Quiet:
    """Lets calls run at a time with each other, and measurements only alone."""

    def __init__(self):
        self._changed, self._running, self._measuring = threading.Condition(), 0, False

    @contextlib.contextmanager
    def shared(self):
        """Runs the `with` unless something is being measured."""
        with self._changed:
            self._changed.wait_for(lambda: not self._measuring)
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self):
        """Runs the `with` while nothing else runs; what comes in the meantime waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._measuring)
            self._measuring = True
            self._changed.wait_for(lambda: not self._running)
        try:
            yield
        finally:
            with self._changed:
                self._measuring = False
                self._changed.notify_all()


class Level:
    """The memory of this process at the start, to which it comes back after large requests."""

    def __init__(self):
        self._start, self._next = _resident(), 0.0

    def restore(self):
        """Gives freed memory back to the system if this process has much more than at the start, but not all the time.

        What a request of usual size freed is kept, since the next one needs it again.
        """
        now = time.monotonic()
        if now >= self._next and _resident() > _USUAL_GROWTH * self._start:
            gc.collect()  # bodies of requests that failed, which their errors hold
            devices.return_freed_memory()
            self._next = now + _BETWEEN_SECS


def _resident():
    """Returns the bytes of memory of this process; 0 where the system does not tell."""
    with contextlib.suppress(OSError, KeyError):
        return _status("VmRSS")
    return 0


def growth(call):
    """Returns the bytes by which the memory of this process grew while `call`, a function (), ran, with some added.

    Returns:
      None where the system does not tell the peak.
    """
    try:
        devices.return_freed_memory()  # what was freed before would be taken again, unseen
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        before = _status("VmRSS")
    except (OSError, KeyError):
        call()
        return None
    call()
    return int(_SAFETY * max(_status("VmHWM") - before, 0))


def _status(key):
    with open("/proc/self/status") as file:
        found = re.search(rf"{key}:\s+(\d+) kB", file.read())
    if not found:
        raise KeyError(key)
    return int(found[1]) << 10
