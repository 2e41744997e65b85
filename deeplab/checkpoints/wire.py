"""Walks over messages of protocol buffers without unpacking them: no message can take more memory than its file.

The usual parser builds an object for each message inside a message. Two bytes of a file can ask for 100 bytes of memory
so, and the lengths that such a message states are not compared with anything. Here nothing is copied or kept.
Source: protobuf.dev/programming-guides/encoding.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # types on the wire; 3 and 4 are groups, which no file here has
_FIXED = {FIXED64: 8, FIXED32: 4}
_VARINT_BITS = 64
MAX_VARINT = 10  # bytes


class Damaged(ValueError):
    """Bytes that are no such file. The message says in which way, without the file's name."""


def varint(content, place, end):
    """Returns (number, place after it) of the variable-length integer at `place` of `content`; raises `Damaged`."""
    number = shift = 0
    while place < end and shift < _VARINT_BITS:
        byte = content[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            if number >> _VARINT_BITS:
                break
            return number, place
        shift += 7
    raise Damaged("a number does not end")


def fields(content):
    """Yields (number of the field, its type on the wire, value) of a message.

    Args:
      content: a memoryview. The value of a field of the type BYTES is a part of it, any other value is an int >= 0.

    Raises:
      Damaged: the bytes are no message, or it holds a group.
    """
    place, end = 0, len(content)
    while place < end:
        key, place = varint(content, place, end)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise Damaged(f"a field with the number {number}")
        if kind == VARINT:
            value, place = varint(content, place, end)
        else:
            if kind == BYTES:
                length, place = varint(content, place, end)
            elif kind in _FIXED:
                length = _FIXED[kind]
            else:
                raise Damaged(f"a field of the type {kind}")
            if length > end - place:
                raise Damaged("a field is longer than its file")
            value = content[place : place + length]
            place += length
            if kind != BYTES:
                value = int.from_bytes(value, "little")
        yield number, kind, value


def read(content, kinds, repeated=()):
    """Returns {number of a field: value} of a message; a list of values for the fields in `repeated`.

    Fields that are not asked for are skipped, as every parser does.

    Args:
      content: a memoryview.
      kinds: {number of a field: its type on the wire}.
      repeated: numbers of the fields that may come several times; any other field that does so is refused, because
        parsers disagree about what it means.

    Raises:
      Damaged: as `fields`, or a field has another type.
    """
    found = {number: [] for number in repeated}
    for number, kind, value in fields(content):
        if number not in kinds:
            continue
        if kind != kinds[number]:
            raise Damaged(f"field {number} has the type {kind}")
        if number in repeated:
            found[number].append(value)
        elif number in found:
            raise Damaged(f"field {number} comes twice")
        else:
            found[number] = value
    return found
