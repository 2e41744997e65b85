"""Changes what a file says and keeps its form: checksums are right, and JSON stays JSON, so that readers go further."""

import gzip
import json
import struct

from deeplab.checkpoints import table
from file_fuzzing.mutations import NUMBERS, mutated, varint

_CASTAGNOLI = 0x82F63B78
_RESTART = 16  # entries between two places to start from
_WORDS = ("", "a/b", "..", "é", "\0", "x" * 5000, "<b>", "nan")
_ODD = ("1e999", "-1e999", "NaN", "1" * 400, "1" * 5000, "-1", "0", "0.5", "1e9", "null", "true", "[]", "{}")


def _crc_table():
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_CASTAGNOLI if byte & 1 else 0)
        rows.append(byte)
    return rows


_CRC = _crc_table()


def masked_crc(content):
    """Returns the checksum of bytes as TensorFlow stores it, 4 bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _block(entries, rng=None):
    """Returns a block with its trailer; with `rng`, a number in it or its places to start from may be wrong."""
    out, starts, last = bytearray(), [], b""
    for count, (key, value) in enumerate(entries):
        shared = 0
        if count % _RESTART:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            starts.append(len(out))
        numbers = [shared, len(key) - shared, len(value)]
        if rng and rng.random() < 0.02:
            numbers[rng.randrange(3)] = rng.choice(NUMBERS)
        out += b"".join(map(varint, numbers)) + key[shared:] + value
        last = key
    starts = starts or [0]
    if rng and rng.random() < 0.1:
        starts[rng.randrange(len(starts))] = rng.choice(NUMBERS) & 0xFFFFFFFF
    count = rng.choice(NUMBERS) & 0xFFFFFFFF if rng and rng.random() < 0.05 else len(starts)
    out += struct.pack(f"<{len(starts)}I", *starts) + struct.pack("<I", count) + b"\0"
    return bytes(out + masked_crc(out))


def index(content, rng):
    """Returns the index of a checkpoint with changed entries, in a table that is right or nearly so."""
    entries = [(key, bytes(value)) for key, value in table.entries(content)]
    for _ in range(rng.randint(0, 2)):
        place = rng.randrange(len(entries))
        key, value = entries[place]
        change = rng.randrange(5)
        if change == 0:
            entries[place] = (mutated(key, rng), value)
        elif change == 1:
            entries[place] = (key, mutated(value, rng))
        elif change == 2:
            entries[place] = (key, value + _field(rng))
        elif change == 3:
            entries[place] = (key, entries[rng.randrange(len(entries))][1])
        else:
            entries.insert(place, (mutated(key, rng), value))
    if rng.random() < 0.7:
        entries.sort()
    data, meta = _block(entries, rng), _block([])
    handle = [0, len(data) - table.TRAILER]
    if rng.random() < 0.1:
        handle[rng.randrange(2)] = rng.choice(NUMBERS)
    top = _block([(entries[-1][0] + b"\xff", b"".join(map(varint, handle)))])
    places = [len(data), len(meta) - table.TRAILER, len(data) + len(meta), len(top) - table.TRAILER]
    if rng.random() < 0.1:
        places[rng.randrange(4)] = rng.choice(NUMBERS)
    footer = b"".join(map(varint, places))[:40].ljust(40, b"\0") + struct.pack("<Q", table.MAGIC)
    return data + meta + top + footer


def shard(content, rng):
    """Changes one record of a TFRecord file; the checksums fit."""
    records = []
    while content:
        (length,) = struct.unpack_from("<Q", content)
        records.append(content[12 : 12 + length])
        content = content[16 + length :]
    chosen = rng.randrange(len(records))
    records[chosen] = mutated(records[chosen], rng)
    heads = [struct.pack("<Q", len(record)) for record in records]
    parts = (head + masked_crc(head) + body + masked_crc(body) for head, body in zip(heads, records, strict=True))
    return b"".join(parts)


def _field(rng):
    """Returns a field of a BundleEntryProto with an odd number."""
    number = rng.choice(NUMBERS)
    inner = b"\x08" + varint(number)
    return rng.choice(
        (
            bytes([rng.choice((1, 3, 4, 5)) << 3]) + varint(number),
            b"\x12" + varint(len(inner) + 2) + b"\x12" + varint(len(inner)) + inner,
            b"\x3a" + varint(len(inner) + 2) + b"\x0a" + varint(len(inner)) + inner,
        )
    )


def archive(content, rng):
    """Returns a .tar.gz with changed headers whose checksums are right."""
    tar = bytearray(gzip.decompress(content))
    headers = [place for place in range(0, len(tar), 512) if tar[place + 257 : place + 262] == b"ustar"]
    for _ in range(rng.randint(1, 2)):
        place = rng.choice(headers)
        change = rng.randrange(4)
        if change == 0:  # the size, in octal digits or as a number
            size = rng.choice((0, 1, 513, 10**6, 2**33 - 1, rng.randrange(2**20)))
            tar[place + 124 : place + 136] = rng.choice((b"%011o\0" % size, b"\x80" + (2**60).to_bytes(11, "big")))
        elif change == 1:
            tar[place + 156] = rng.choice(b"0123456LKxgSVDN\0A")
        elif change == 2:
            tar[place : place + 100] = mutated(bytes(tar[place : place + 100]), rng)[:100].ljust(100, b"\0")
        else:
            tar[place : place + 512] = mutated(bytes(tar[place : place + 512]), rng)[:512].ljust(512, b"\0")
        tar[place + 148 : place + 156] = b" " * 8
        tar[place + 148 : place + 156] = b"%06o\0 " % sum(tar[place : place + 512])
    return gzip.compress(bytes(tar), 1)


def json_text(content, rng):
    """Returns a JSON text in which some values are others: of another type, enormous or deeply nested."""
    root = json.loads(content)
    for count in range(rng.randint(1, 3)):
        places = list(_places(root))
        holder, key = rng.choice(places)
        change = rng.randrange(4)
        if change == 0 and isinstance(holder, dict):
            holder[rng.choice(_WORDS)] = holder.pop(key)
        elif change == 1:
            holder[key] = rng.choice(_WORDS)
        else:
            holder[key] = f"@{count}"
    text = json.dumps(root)
    for count in range(3):
        depth = rng.choice((3, 1000, 100_000))
        odd = rng.choice((*_ODD, "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[0," * depth))
        text = text.replace(f'"@{count}"', odd)
    return text.encode()


def _places(value):
    """Yields (list or dict, index or key) of every value below `value`."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def flags(content, rng):
    """Returns a flag file in which one value is another."""
    lines = content.decode().splitlines()
    place = rng.randrange(len(lines))
    name = lines[place].partition("=")[0]
    odd = (*_ODD, *_WORDS, "9" * 10_000, "1," * 200_000, "--flagfile=flags.txt")
    lines[place] = f"{name}={rng.choice(odd)}"
    return "\n".join(lines).encode()
