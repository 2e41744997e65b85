"""Reads the table of sorted keys that the .index file of a checkpoint is, and checks all of its structure.

TensorFlow's reader in C++ believes what such a file says: damaged or crafted files end the process with a signal or ask
for any amount of memory. It gets only files whose structure was checked here. The checksums of the blocks are left to
TensorFlow's reader, which verifies them before it uses a block.
Source: tensorflow/core/lib/io/{table_format.txt, block.cc}, which is LevelDB's format, and Snappy's format description.
"""

import struct

from deeplab.checkpoints.wire import Damaged, varint

MAX_BYTES = 8 << 20  # of an index, also unpacked; a variable needs some 100 bytes, and networks have thousands
MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two handles of blocks, padding, the magic number
TRAILER = 5  # bytes after a block: one for its compression, four for its checksum
_PLAIN, _SNAPPY = 0, 1  # compressions


def entries(content):
    """Yields (key, value) of a table in the order of the keys, the keys as bytes, the values as memoryviews.

    Args:
      content: the bytes of the file.

    Raises:
      Damaged: the structure is not one that a writer makes. What was yielded before is right nevertheless.
    """
    content = memoryview(content)
    if len(content) < FOOTER or int.from_bytes(content[-8:], "little") != MAGIC:
        raise Damaged("it does not end as an index does")
    _refuse_large(len(content))
    _metaindex, place = _handle(content, len(content) - FOOTER, len(content) - 8)
    index, _place = _handle(content, place, len(content) - 8)
    last, unpacked = None, 0
    for limit, value in _block_entries(_block(content, index, len(content) - FOOTER)):
        block, place = _handle(value, 0, len(value))
        if place != len(value):
            raise Damaged("a handle of a block with bytes after it")
        for key, item in _block_entries(_block(content, block, index[0])):
            unpacked += len(key) + len(item)
            _refuse_large(unpacked)
            if last is not None and key <= last:
                raise Damaged("its keys are not in order")
            last = key
            yield key, item
        if last is None or last > limit:
            raise Damaged("a block holds keys that belong to the next one")


def _refuse_large(size):
    if size > MAX_BYTES:
        raise Damaged(f"an index of more than {MAX_BYTES >> 20} MB")


def _handle(content, place, end):
    """Returns ((offset, size) of a block, place after them)."""
    offset, place = varint(content, place, end)
    size, place = varint(content, place, end)
    return (offset, size), place


def _block(content, handle, end):
    """Returns the uncompressed content of a block, which has to lie before `end`."""
    offset, size = handle
    if offset + size + TRAILER > end:
        raise Damaged("a block lies outside its place")
    block, compression = content[offset : offset + size], content[offset + size]
    if compression == _SNAPPY:
        block = memoryview(_unsnapped(block))
    elif compression != _PLAIN:
        raise Damaged(f"a block with the compression {compression}")
    return block


def _block_entries(block):
    """Yields (key, value) of a block, whose places to start from have to be those of whole keys."""
    if len(block) < 8:
        raise Damaged("a block without entries")
    (count,) = struct.unpack_from("<I", block, len(block) - 4)
    end = len(block) - 4 - 4 * count
    if count < 1 or end < 0:
        raise Damaged("a block without its places to start from")
    starts = set(struct.unpack_from(f"<{count}I", block, end))
    place, key, whole = 0, b"", set()
    while place < end:
        start = place
        shared, place = varint(block, place, end)
        own, place = varint(block, place, end)
        size, place = varint(block, place, end)
        if shared > len(key) or own + size > end - place:
            raise Damaged("an entry is longer than its block")
        if shared == 0:
            whole.add(start)
        elif start in starts:
            raise Damaged("a place to start from is inside a key")
        key = key[:shared] + bytes(block[place : place + own])
        place += own
        yield key, block[place : place + size]
        place += size
    if len(starts) != count or 0 not in starts or not starts <= (whole or {0}):  # a block may have no entries
        raise Damaged("a place to start from is no entry")


def _unsnapped(block):
    """Returns the bytes that Snappy compressed to `block`."""
    size, place = varint(block, 0, len(block))
    if size > MAX_BYTES:
        raise Damaged(f"a block of more than {MAX_BYTES >> 20} MB")
    out, end = bytearray(), len(block)
    while place < end:
        kind, code = block[place] & 3, block[place] >> 2
        more = max(0, code - 59) if kind == 0 else (1, 2, 4)[kind - 1]  # bytes that belong to this tag
        extra = int.from_bytes(block[place + 1 : place + 1 + more], "little")
        place += 1 + more
        length = (extra if more else code) + 1
        if kind == 0:
            if length > end - place:
                raise Damaged("a compressed block ends early")
            out += block[place : place + length]
            place += length
        else:
            distance = (block[place - 2] >> 5 << 8 | extra) if kind == 1 else extra
            _repeat(out, distance, (code & 7) + 4 if kind == 1 else code + 1)
        if len(out) > size:
            break
    if len(out) != size:
        raise Damaged("a compressed block has another size than it says")
    return bytes(out)


def _repeat(out, distance, length):
    """Appends `length` bytes to `out` that are those from `distance` bytes before its end on."""
    if not 0 < distance <= len(out):
        raise Damaged("a compressed block refers to what is not there")
    start = len(out) - distance
    pattern = bytes(out[start : start + length])
    out += (pattern * (length // len(pattern) + 1))[:length]
