"""Checks what the .index file of a checkpoint says of its tensors, before TensorFlow's reader acts on it.

Source: tensorflow/core/protobuf/tensor_bundle.proto and util/saved_tensor_slice_util.cc.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from deeplab.checkpoints import table, wire
from deeplab.checkpoints.wire import BYTES, FIXED32, VARINT, Damaged

ITEM_BYTES = {  # number of a type in TensorFlow's types.proto: bytes of one value
    **{1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 8: 8, 9: 8, 10: 1},  # float, double, int32, uint8, ..., int64, bool
    **{14: 2, 17: 2, 18: 16, 19: 2, 22: 4, 23: 8},  # bfloat16, uint16, complex128, half, uint32, uint64
}
STRING = 7
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CRC, _SLICES = 1, 2, 3, 4, 5, 6, 7  # fields of BundleEntryProto
_ENTRY = {_DTYPE: VARINT, _SHAPE: BYTES, _SHARD: VARINT, _OFFSET: VARINT, _SIZE: VARINT, _CRC: FIXED32, _SLICES: BYTES}
_MAX_RANK = 254  # TensorFlow ends the process for more
_MAX_VALUES = 1 << 48  # of a tensor, empty sides not counted, so that no product overflows in TensorFlow
_MAX_SHARDS = 10_000
_MAX_SLICES = 10_000
_MAX_TEXTS = 1_000_000


class Entry(NamedTuple):
    """One tensor of a checkpoint, or one part of a tensor that was saved in parts."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    slices: tuple[tuple[tuple[int, int], ...], ...]  # of parts: (start, length) of each side; length -1: a whole side


def check(prefix):
    """Checks that the index of the checkpoint `prefix` describes tensors that lie in its data files.

    Raises:
      Damaged: it does not.
      Everything that reading a file raises.
    """
    path = prefix + ".index"
    if tf.io.gfile.stat(path).length > table.MAX_BYTES:
        raise Damaged(f"an index of more than {table.MAX_BYTES >> 20} MB")
    with tf.io.gfile.GFile(path, "rb") as file:
        shards, found = _parsed(file.read())
    parts = _refuse_wrong_parts(found)
    if any(key.startswith(b"\0") for key in found.keys() - parts):
        raise Damaged("it has a part of no tensor")
    whole = [entry for entry in found.values() if not entry.slices]
    names = {shard: f"{prefix}.data-{shard:05d}-of-{shards:05d}" for shard in {entry.shard for entry in whole}}
    sizes = {shard: tf.io.gfile.stat(name).length for shard, name in names.items() if shard < shards}
    for entry in whole:
        _refuse_outside(entry, sizes)
        if entry.dtype == STRING:
            _refuse_wrong_texts(entry, names[entry.shard])
    if sum(entry.size for entry in whole) > sum(sizes.values()):
        raise Damaged("its tensors overlap")


def _parsed(content):
    """Returns (number of data files, {key: `Entry`}) of the bytes of an index."""
    entries = table.entries(content)
    key, header = next(entries, (None, b""))
    if key != b"":
        raise Damaged("its index has no header")
    return _shards(header), {key: _entry(value) for key, value in entries}


def _shards(header):
    """Returns the number of data files that a header names."""
    shards = wire.read(header, {1: VARINT}).get(1, 0)
    if not 1 <= shards <= _MAX_SHARDS:
        raise Damaged(f"it has {shards} data files")
    return shards


def _entry(value):
    """Returns the `Entry` of a message of type BundleEntryProto."""
    given = wire.read(value, _ENTRY, repeated=(_SLICES,))
    dtype = given.get(_DTYPE, 0)
    if dtype != STRING and dtype not in ITEM_BYTES:
        raise Damaged(f"a tensor of the type {dtype}")
    shape = shape_of(given.get(_SHAPE, b""))
    if len(given[_SLICES]) > _MAX_SLICES:
        raise Damaged(f"a tensor in more than {_MAX_SLICES} parts")
    slices = tuple(tuple(map(_extent, wire.read(one, {1: BYTES}, (1,))[1])) for one in given[_SLICES])
    entry = Entry(dtype, shape, given.get(_SHARD, 0), given.get(_OFFSET, 0), given.get(_SIZE, 0), slices)
    if not slices and dtype != STRING and entry.size != math.prod(shape) * ITEM_BYTES[dtype]:
        raise Damaged(f"a tensor of the shape {shape} in {entry.size} bytes")
    return entry


def shape_of(content):
    """Returns the sides in a message of type TensorShapeProto; raises `Damaged` for shapes that no tensor has."""
    given = wire.read(memoryview(content), {2: BYTES, 3: VARINT}, repeated=(2,))
    if len(given[2]) > _MAX_RANK or given.get(3, 0):
        raise Damaged("a tensor without a fixed number of sides")
    shape = tuple(wire.read(dim, {1: VARINT}).get(1, 0) for dim in given[2])
    if math.prod(max(side, 1) for side in shape) > _MAX_VALUES:
        raise Damaged(f"a tensor of the shape {shape[:8]}")
    return shape


def _extent(content):
    """Returns (start, length) in a message of type TensorSliceProto.Extent; the length is -1 for a whole side."""
    given = wire.read(content, {1: VARINT, 2: VARINT})
    return given.get(1, 0), given.get(2, -1)


def _refuse_wrong_parts(found):
    """Refuses tensors whose parts are missing or have another type or size; returns the keys of all parts."""
    parts = set()
    for name, entry in found.items():
        for extents in entry.slices:
            key = key_of_part(name, extents)
            part = found.get(key)
            if part is None or part.slices or (part.dtype, part.shape) != (entry.dtype, _shape_of_part(entry, extents)):
                raise Damaged("a part of a tensor is missing")
            parts.add(key)
    return parts


def _shape_of_part(entry, extents):
    """Returns the shape of one part of a tensor."""
    if len(extents) != len(entry.shape):
        raise Damaged("a part has another number of sides than its tensor")
    shape = []
    for (start, length), side in zip(extents, entry.shape, strict=True):
        is_whole = length < 0
        if start + (side if is_whole else length) > side:
            raise Damaged("a part lies outside its tensor")
        shape.append(side if is_whole else length)
    return tuple(shape)


def key_of_part(name, extents):
    """Returns the key under which a part of the tensor `name` (bytes) lies.

    Args:
      name: bytes.
      extents: (start, length) of every side; the length is -1 for a whole side.
    """
    text = name.replace(b"\xff", b"\xff\1").replace(b"\0", b"\0\xff").replace(b"\xff\1", b"\xff\0")
    numbers = b"".join(_signed(number) for extent in extents for number in extent)
    return _unsigned(0) + text + b"\0\1" + _unsigned(len(extents)) + numbers


def _unsigned(number):
    """Returns a number >= 0 in the code of `key_of_part`, in which bytes are ordered as numbers."""
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([len(digits)]) + digits


def _signed(number):
    """Returns a number >= -1 in the code of `key_of_part`: as many leading ones as bytes, then the number."""
    if number < 0:
        return b"\x7f"
    length = number.bit_length() // 7 + 1
    ones = ((1 << length) - 1) << 7 * length
    return (number | ones).to_bytes(length, "big")


def _refuse_outside(entry, sizes):
    if entry.shard not in sizes:
        raise Damaged(f"a tensor in the data file {entry.shard}, which does not exist")
    if entry.offset + entry.size > sizes[entry.shard]:
        raise Damaged(f"a tensor ends at byte {entry.offset + entry.size} of {sizes[entry.shard]}; a file is cut")


def _refuse_wrong_texts(entry, path):
    """Refuses texts whose lengths do not add up to what the index says: lengths, a checksum of 4 bytes, texts."""
    count = math.prod(entry.shape)
    if count > min(_MAX_TEXTS, entry.size):
        raise Damaged(f"{count} texts in {entry.size} bytes")
    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(entry.offset)
        content = file.read(min(entry.size, count * wire.MAX_VARINT))
    place = total = 0
    for _ in range(count):
        length, place = wire.varint(content, place, len(content))
        total += length
    if place + 4 + total != entry.size:
        raise Damaged("texts of other lengths than their tensor has")
