"""Ends a training from outside: SIGTERM and Ctrl-C let it save first, and a second Ctrl-C ends it at once."""

import os
import signal
import socket
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # SIGINT is Ctrl-C; cluster schedulers send SIGTERM before they kill
_GRACE_SECONDS = 1.0  # for removing a file that is half written, before the process is ended


class StopSignal:
    """Remembers that SIGTERM or Ctrl-C came, so that the loop can save and end. To be used in a `with`.

    Python runs the handler of a signal only when TensorFlow returns to it, which takes as long as the steps of one
    call. A thread therefore hears of signals, too: it answers at once, and it ends a process whose user presses Ctrl-C
    again while TensorFlow computes.

    Attributes:
      received: True once a signal came.
      interrupted: True if Ctrl-C was among the signals.
      next_look: the step after which the loop looks at `received`, for the answer; the loop keeps it up to date.
    """

    def __init__(self):
        self.received = self.interrupted = False
        self.next_look = 0
        self._before = {}
        self._closed = threading.Event()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python allows signal handlers only there
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as scripts start programs in the background
            numbers = _SIGNALS[1:] if ignored else _SIGNALS
            self._before = {number: signal.signal(number, self._receive) for number in numbers}
            self._fd_before = signal.set_wakeup_fd(self._writer.fileno())
            threading.Thread(target=self._answer, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._closed.set()
        if self._before:
            signal.set_wakeup_fd(self._fd_before)
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            self._writer.close()  # ends the thread

    def _receive(self, number, _frame):
        """Handles a signal in the main thread."""
        if number == signal.SIGINT and self.interrupted:
            raise KeyboardInterrupt
        self.received = True
        self.interrupted = self.interrupted or number == signal.SIGINT

    def _answer(self):
        """Reads the numbers of the signals as they come, one byte each, until `__exit__`; runs in a thread."""
        interrupts = answered = 0
        with self._reader:
            for (number,) in iter(lambda: self._reader.recv(1), b""):
                interrupts += number == signal.SIGINT
                if interrupts > 1:
                    print("Ctrl-C again: the training ends without saving", flush=True)
                    if not self._closed.wait(_GRACE_SECONDS):
                        os._exit(128 + signal.SIGINT)  # as shells report it
                elif number in _SIGNALS and not answered:
                    answered = True
                    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
                    more = "; Ctrl-C again ends it without saving" if number == signal.SIGINT else ""
                    print(
                        f"{name}: the training is saved and ends, at step {self.next_look} at the latest{more}",
                        flush=True,
                    )
