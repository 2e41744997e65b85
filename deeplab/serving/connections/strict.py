"""HTTP/1.1 as h11 reads it, without what is legal only by tolerance and serves attacks.

Source: RFC 9112, "HTTP/1.1".
"""

import re

import h11

MAX_HEAD_BYTES = 16 << 10  # of a request's head, and of the head of a chunk
_FREE_CHUNKS, _CHUNK_BYTES = 1000, 1024  # further chunks of a body must have so many bytes on average
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Connection(h11.Connection):
    """The server's side of a connection. `next_event` raises a RemoteProtocolError for what is refused."""

    def __init__(self):
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.is_chunked, self._chunks, self._bytes = False, 0, 0

    def next_event(self):
        event = super().next_event()
        if isinstance(event, h11.Request):
            return self._checked(event)
        if isinstance(event, h11.Data) and self.is_chunked:
            self._count(event)
        return event

    def _checked(self, request):
        """Returns a request whose target is a path."""
        headers = dict(request.headers)
        self.is_chunked, self._chunks, self._bytes = b"transfer-encoding" in headers, 0, 0
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("HTTP/1.1 is spoken here", error_status_hint=505)
        if self.is_chunked and (b"content-length" in headers or request.http_version == b"1.0"):
            # Two servers in a row could see different ends of such a body, and so different requests (section 6.1).
            raise h11.RemoteProtocolError("Transfer-Encoding with Content-Length, or in HTTP/1.0, is refused")
        if request.target.startswith(b"/") or request.target == b"*":
            return request
        absolute = _ABSOLUTE.fullmatch(request.target)
        if not absolute or absolute[1].lower() != headers.get(b"host", absolute[1]).lower():
            raise h11.RemoteProtocolError("The target is neither a path nor an address of this Host")
        path = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
        return h11.Request(
            method=request.method, target=path, headers=request.headers.raw_items(), http_version=request.http_version
        )

    def _count(self, data):
        """Refuses a body of very many small chunks, each of which costs as much time as a large one."""
        self._chunks += data.chunk_end
        self._bytes += len(data.data)
        if self._chunks > _FREE_CHUNKS and self._bytes < self._chunks * _CHUNK_BYTES:
            raise h11.RemoteProtocolError("The chunks of the body are too small")
