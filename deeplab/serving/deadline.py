"""The time that a request may take, and what ends a request before its answer.

The clock of a request starts with its first byte (`protocol.Protocol` notes it), so that reading, waiting for a turn,
decoding and computing all count.
"""

import contextvars
import time

import anyio

STOPPING = "The server is stopping; try again later"


_network = contextvars.ContextVar("network", default=None)  # a list of seconds, of the request that is answered


def left(request, seconds):
    """Returns what is left of `seconds` that began with the first byte of a request."""
    return seconds - (time.monotonic() - request.scope.get("state", {}).get("arrived", time.monotonic()))


def gone(request):
    """Returns the future that is done once the client of a request went away; None if the server does not tell."""
    return request.scope.get("state", {}).get("gone")


async def in_time(work, seconds, late, ends=()):
    """Returns what the coroutine `work` returns, unless its time or something else ends it before.

    Work that is ended is cancelled. Threads that compute for it go on to the end of what they compute at that moment.

    Args:
      work: a coroutine.
      seconds: how long it may take. 0 or less: it is ended at its first pause.
      late: the exception to raise after that time.
      ends: pairs (future, exception): the exception is raised as soon as the future is done.
    """
    watched = {future: error for future, error in ends if future is not None}
    with anyio.CancelScope(deadline=anyio.current_time() + max(0, seconds)) as scope:
        end = lambda future: scope.cancel()  # noqa: E731
        for future in watched:
            future.add_done_callback(end)
        try:
            return await work
        finally:
            for future in watched:
                future.remove_done_callback(end)
    raise next((error for future, error in watched.items() if future.done()), late)


def time_network():
    """Returns an empty list, to which `count_network` in the tasks of this request will append seconds."""
    seconds = []
    _network.set(seconds)
    return seconds


def count_network(seconds):
    """Notes how long the network has computed for the request that is answered."""
    noted = _network.get()
    if noted is not None:
        noted.append(seconds)
