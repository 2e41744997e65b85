"""Messages between the server and its workers: a few facts as JSON, and buffers of bytes behind them.

Nothing is pickled: a worker reads what strangers sent, so what it answers is only ever taken as data.
"""

import json
import struct

_HEAD = struct.Struct("<QQ")  # bytes of the facts, number of buffers
_SIZE = struct.Struct("<Q")


def send(connection, facts, buffers=()):
    """Sends a dict that JSON can hold, and buffers of bytes, over a socket."""
    text = json.dumps(facts).encode()
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    sizes = b"".join(_SIZE.pack(view.nbytes) for view in views)
    connection.sendall(_HEAD.pack(len(text), len(views)) + text + sizes)
    for view in views:
        connection.sendall(view)


def receive(connection):
    """Returns (facts, list of bytearrays) that `send` sent; raises an EOFError if the other side is gone."""
    length, count = _HEAD.unpack(_bytes(connection, _HEAD.size))
    facts = json.loads(_bytes(connection, length))
    sizes = [_SIZE.unpack(_bytes(connection, _SIZE.size))[0] for _ in range(count)]
    return facts, [_bytes(connection, size) for size in sizes]


def _bytes(connection, size):
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError("the other side of the connection is gone")
        view = view[count:]
    return content
