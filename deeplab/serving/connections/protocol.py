"""A connection: the time limits for reading a request, for idling and for taking an answer; malformed HTTP.

uvicorn has a time limit for idling alone, so that a few hundred slow clients would take all connections, and it answers
malformed requests with a text and a reset connection.
"""

import asyncio
import http
import json
import sys
import time

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from deeplab.serving.connections import strict
from deeplab.serving.guard import access, request_log

_TOGETHER = 64 << 10  # bytes that are sent at once at the most, unless they are written at once
_SLICE = 16 << 10  # bytes of chunked bodies that are read at a time, so that a client can't hold up the others
_LINGER_SECS = 2.0  # how long a client that still sends may read an answer before the connection is closed
_ANSWER_SECS = 1.0  # how much later than the application, which answers 408, the connection is cut
_TOO_MANY = "Too many connections; try again later"
_LIGHT = ("/healthz", "/readyz", "/metrics")  # what is answered on spare connections
_TRIES, _TRY_SECS = 12, 0.05  # of a request on a spare connection for a place among the others
_SPARE_SECS = 2.0  # for reading a request, and for idling, on these


class Protocol(H11Protocol):
    """One connection.

    Class attributes, which `of` sets:
      application: an `Application`, whose `refused` is called with the status of answers that are given here.
      room: a `Room`.
      write: function (line) that writes the lines of these answers; None writes none.

    `phase` is "idle", "reading" (a request has begun and is not complete), "answering" or "closing" (the client still
    sends, and what it sends is thrown away). `since` is the `time.monotonic()` at which the phase began, `received` the
    number of bytes of the request that came so far. `was_used` tells whether any bytes have come.
    """

    application, room, write = None, None, None
    was_used = False

    @classmethod
    def of(cls, application, room, write=None):
        """Returns a class of connections to `application`."""
        write = write and staticmethod(write)
        return type("Protocol", (cls,), {"application": application, "room": room, "write": write})

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.conn = strict.Connection()
        self.phase, self.since, self.received = "idle", time.monotonic(), 0
        self._read_secs = self.application.config.read_timeout_secs
        self._timer, self._written, self._watches, self._waits = None, 0, False, False
        self._gone = self.loop.create_future()

    def connection_made(self, transport):
        super().connection_made(_Transport(transport, self))
        if not self.room.enter(self):
            self._read_secs = self.timeout_keep_alive = _SPARE_SECS
            self.app = self._light
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc):
        self.room.leave(self)
        self._stop_clock()
        self._unset_keepalive_if_required()
        self._tell_gone()
        super().connection_lost(exc)

    def data_received(self, data):
        self.was_used = True
        self.received += len(data)
        step = _SLICE if self.conn.is_chunked or self.phase != "reading" else len(data)
        for start in range(0, len(data), step):
            if self.phase != "closing":
                super().data_received(data[start : start + step])

    def handle_events(self):
        previous = self.cycle
        super().handle_events()
        if self.transport.is_closing():
            return
        if self.cycle is not previous:
            arrived = self.since if self.phase == "reading" else time.monotonic()
            self.scope["state"].update(arrived=arrived, gone=self._gone)
        self._enter(self._seen_phase())

    def on_response_complete(self):
        if self.conn.their_state is h11.SEND_BODY:
            self.transport.close()  # what is left of the body is not read
        super().on_response_complete()
        self._enter(self._seen_phase())

    def send_400_response(self, msg):
        """Answers what h11 can't read, inside of the handler of its error."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        self.refuse(status, f"{msg.rstrip('.')}: {str(error)[:100]}")

    def shutdown(self):
        """Ends the connection when the server stops: at once, or after the answer that is being computed."""
        if self.phase == "reading" and (self.cycle is None or self.cycle.response_complete):
            self.refuse(503, "The server is stopping; try again later")
        elif self.phase != "closing":
            super().shutdown()

    def refuse(self, status, message):
        """Answers a request that the application has not seen, or of which it waits for the body, and closes."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering:
            self._tell_gone()
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()
                return
        self.application.refused(status)
        body = json.dumps({"error": message}).encode()
        write = None if answering else self.write  # the application writes a line of each request that it has seen
        number = request_log.refused(write, status, len(body), time.monotonic() - self.since)
        headers = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
        headers |= {"Retry-After": 1} if status == 503 else {}
        headers |= {**access.HEADERS, "Content-Security-Policy": access.POLICY, request_log.HEADER: number}
        head = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)
        self.transport.close()

    def drop(self):
        """Closes the connection because others need its place."""
        if self.phase == "reading":
            self.refuse(408, "The request was sent too slowly while many clients wait")
        elif self._waits:
            self.refuse(503, _TOO_MANY)
        self.transport.abort()

    def _seen_phase(self):
        """Returns the phase that the connection is in, as h11 sees it."""
        if self.phase == "closing":
            return "closing"
        if self.conn.their_state is h11.SEND_BODY:
            return "reading"
        if self.cycle is not None and not self.cycle.response_complete:
            return "answering"
        return "reading" if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0] else "idle"

    def _enter(self, phase):
        """Changes the phase and starts its clock. A request that has not come in full keeps the clock that it has."""
        if phase == self.phase:
            return
        if phase != "reading":
            self.received = 0
        self.phase, self.since = phase, time.monotonic()
        self.room.changed(self)
        self._stop_clock()
        if phase == "reading":
            self._unset_keepalive_if_required()
            self._timer = self.loop.call_later(self._read_secs, self._too_slow)

    def _too_slow(self):
        """Answers 408. If the application waits for the body, it does so by itself, or it has failed to."""
        self._timer = None
        if self.phase == "reading" and (self.cycle is None or self.cycle.response_complete):
            self.refuse(408, "The request was sent too slowly")
        elif self.phase == "reading":
            self._timer = self.loop.call_later(_ANSWER_SECS, self.transport.abort)

    def _stop_clock(self):
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _tell_gone(self):
        """Tells the application that nobody waits for its answers any longer."""
        if not self._gone.done():
            self._gone.set_result(None)

    def written(self, size):
        """Notes bytes of an answer, and watches whether the client takes them."""
        self._written += size
        if not self._watches and self.transport.get_write_buffer_size():
            self._watches = True
            self.loop.call_later(self._read_secs, self._check_taken, self._taken())

    def _taken(self):
        """Returns the number of bytes that the system has taken so far for the client."""
        return self._written - self.transport.get_write_buffer_size()

    def _check_taken(self, before):
        """Cuts the connection of a client that does not take its answer: nothing of it in a whole time limit."""
        self._watches, taken = False, self._taken()
        if self.transport.get_write_buffer_size() and taken <= before:
            self.transport.abort()
        else:
            self.written(0)

    def linger(self):
        """Goes on to read from a client that still sends. Returns False if it does not, or can't be waited for.

        If the socket were closed instead, the bytes that were not read would make the system reset the connection, and
        the client would lose the answer.
        """
        sends = self.phase == "reading" or self.conn.their_state in (h11.SEND_BODY, h11.ERROR)
        if not sends or not self.transport.can_write_eof():
            return False
        try:
            self.transport.write_eof()
        except OSError:  # the client has gone
            return False
        self.flow.resume_reading()
        self._enter("closing")
        self._timer = self.loop.call_later(_LINGER_SECS, self.transport.abort)
        return True

    async def _light(self, scope, receive, send):
        """The application of spare connections, which become ordinary ones if others can go that have sent nothing."""
        if scope["path"] in _LIGHT:
            self.cycle.keep_alive = False
            await self.config.loaded_app(scope, receive, send)
        elif await self._promoted():
            self.app = self.config.loaded_app
            self._read_secs = self.application.config.read_timeout_secs
            self.timeout_keep_alive = self.config.timeout_keep_alive
            await self.config.loaded_app(scope, receive, send)
        elif not self.cycle.disconnected:
            self.refuse(503, _TOO_MANY)

    async def _promoted(self):
        """Waits a moment for a place among the ordinary connections; returns whether there is one."""
        self._waits = True
        for _ in range(_TRIES):
            if self.room.promote(self):
                self._waits = False
                return True
            await asyncio.sleep(_TRY_SECS)
        return False


class _Transport:
    """A transport of asyncio that closes as a `Protocol` wants it, and sends what is written in a row at once.

    uvicorn writes the head of an answer, its parts and its end one by one, each of which would be a call of the system.
    """

    def __init__(self, transport, protocol):
        self._transport, self._protocol = transport, protocol
        self._unsent, self._size = [], 0

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def write(self, data):
        if not self._unsent:
            self._protocol.loop.call_soon(self._flush)
        self._unsent.append(data)
        self._size += len(data)
        if self._size >= _TOGETHER:
            self._flush()

    def get_write_buffer_size(self):
        return self._size + self._transport.get_write_buffer_size()

    def write_eof(self):
        self._flush()
        self._transport.write_eof()

    def is_closing(self):
        return self._protocol.phase == "closing" or self._transport.is_closing()

    def abort(self):
        self._flush()  # an answer that was given just now
        self._transport.abort()

    def close(self):
        self._flush()
        if not self.is_closing() and not self._protocol.linger():
            self._transport.close()

    def _flush(self):
        size, data = self._size, b"".join(self._unsent)
        self._unsent, self._size = [], 0
        if data and not self._transport.is_closing():
            self._transport.write(data)
            self._protocol.written(size)
