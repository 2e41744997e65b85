"""How many connections the server keeps, and which one has to go when a further one comes.

Whoever opens connections and sends nothing, or sends slowly, must not shut out the others. So a new connection always
finds a place: the connection that has been idle for the longest time goes, or the one that sends its request the most
slowly. If there is no such connection, because all of them wait for their answers or have just come, the new one is a
spare connection, on which the server answers /healthz, /readyz and /metrics. A spare connection that sends another
request takes the place of one that has come before it and sent nothing.
"""

import resource
import time

_CONNECTIONS = 512
_SPARE = 64  # four times as many as are accepted at a time, so that one whose request is there can be answered
_OTHER_FILES = 128  # descriptors for all else: the model, libraries, processes that decode
_TRIAL_SECS = 1.0  # a connection or request that came so recently does not count as slow
_SHORT_TRIAL_SECS = 0.5  # the same where another connection has sent its request already
_FEWEST = 4


class Room:
    """The connections that are open.

    Args:
      connections: how many there may be.
      spare: how many spare connections there may be besides.
    """

    def __init__(self, connections=_CONNECTIONS, spare=_SPARE):
        self.connections, self.spare = connections, spare
        self._kept, self._spare = {}, {}  # in the order in which they came; the values mean nothing
        self._quiet = {}  # those of the kept ones that read and answer nothing, the one that does so for longest first

    def __len__(self):
        return len(self._kept) + len(self._spare)

    def enter(self, connection):
        """Takes in a connection, a `protocol.Protocol`. Returns False if it is a spare one."""
        if len(self._kept) >= self.connections and not self._make_room():
            if len(self._spare) >= self.spare:
                self._drop(min(self._spare, key=lambda one: (one.phase == "answering", one.since)))
            self._spare[connection] = None
            return False
        self._kept[connection] = None
        self.changed(connection)
        return True

    def promote(self, connection):
        """Makes a spare connection an ordinary one, because it has sent a request, at the cost of one that has not.

        Returns False if there is none that could go.
        """
        if connection not in self._spare:  # it was closed
            return False
        if len(self._kept) >= self.connections and not self._make_room(_SHORT_TRIAL_SECS):
            return False
        self._spare.pop(connection)
        self._kept[connection] = None
        return True

    def changed(self, connection):
        """Notes that the phase of a connection has changed."""
        self._quiet.pop(connection, None)
        if connection in self._kept and connection.phase in ("idle", "closing"):
            self._quiet[connection] = None

    def leave(self, connection):
        """Forgets a connection that was closed."""
        for place in (self._kept, self._spare, self._quiet):
            place.pop(connection, None)

    def _make_room(self, trial_secs=_TRIAL_SECS):
        """Closes the connection that is missed the least. Returns False if all of them wait for answers or are new."""
        now = time.monotonic()
        idle = next((one for one in self._quiet if one.was_used or now - one.since >= trial_secs), None)
        if idle is None:
            slow = [one for one in self._kept if one.phase == "reading" and now - one.since > _TRIAL_SECS]
            idle = min(slow, key=lambda one: one.received / (now - one.since), default=None)
        if idle is not None:
            self._drop(idle)
        return idle is not None

    def _drop(self, connection):
        self.leave(connection)
        connection.drop()


def of_this_process():
    """Returns the `Room` that the limit of open files leaves, which is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As many again: connections that were accepted but not yet taken in, and connections that are being closed.
    wanted = _OTHER_FILES + 2 * (_CONNECTIONS + _SPARE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return Room()
    fit = max(2 * _FEWEST, (soft - _OTHER_FILES) // 2)
    room = Room(fit - max(_FEWEST, fit // 8), max(_FEWEST, fit // 8))
    print(f"At most {room.connections} connections, because a process may open {soft} files (ulimit -n)", flush=True)
    return room
