"""The honest clients, and the probe of /healthz: how long answers take while the server is attacked."""

import http.client
import threading
import time

from server_attacks import files
from server_attacks.kinds import PREDICT

SIDE = 257  # pixels of the honest images
_PAUSE = 0.1  # seconds between two requests of a client, and between two looks at /healthz
_GIVE_UP = 20.0  # seconds after which an honest request counts as failed


class Clients:
    """Threads that ask until `stop` is called; `seconds` and `failures` tell what came of it.

    Args:
      address: (host, port).
      number: of threads.
      ask: function (address) -> (status, content), of one request.
    """

    def __init__(self, address, number, ask):
        self.seconds, self.failures = [], []
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(address, ask), daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def _run(self, address, ask):
        while not self._stopped.is_set():
            start = time.monotonic()
            try:
                status, content = ask(address)
                failure = "" if status == http.client.OK else f"{status} {content[:80].decode('utf-8', 'replace')}"
            except (OSError, http.client.HTTPException) as error:
                failure = type(error).__name__
            self.seconds.append(time.monotonic() - start)
            if failure:
                self.failures.append(failure)
            self._stopped.wait(_PAUSE)

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join(_GIVE_UP + 5)

    def forget(self):
        """Forgets what came so far, as after a warm-up."""
        self.seconds.clear()
        self.failures.clear()

    def at(self, share):
        """Returns the seconds within which that share of the requests was answered."""
        ordered = sorted(self.seconds) or [float("inf")]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def images(token):
    """Returns the function that sends an honest image."""
    body, headers = files.encoded(files.png(SIDE, SIDE)), {"Authorization": f"Bearer {token}"}
    return lambda address: _ask(address, "POST", PREDICT, body, headers)


def health(address):
    return _ask(address, "GET", "/healthz", None, {})


def _ask(address, method, path, body, headers):
    connection = http.client.HTTPConnection(*address, timeout=_GIVE_UP)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
