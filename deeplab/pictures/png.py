"""Encodes pictures as PNG files with little work, because a network on a CPU has to wait for it.

Pillow tries five filters on every row of a picture, and libpng does so, too. Here all rows get the filter that suits
pictures of their kind, which is one operation of NumPy. The pixels in the file are the same, and the file of a
photograph is about 5 % larger. Source: PNG specification, third edition, sections 9 (filters) and 11 (chunks).
"""

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
_UP, _AVERAGE = 2, 3  # filters
_LEVEL = 1  # of compression; a photograph hardly becomes smaller at higher levels


def encode(picture, palette=None):
    """Returns the bytes of a PNG file.

    Args:
      picture: (H, W, 3) uint8, or class ids (H, W) uint8 or uint16; H and W are at least 1.
      palette: (256, 3) uint8, the colours in which viewers show ids of uint8, or None.
    """
    height, width = picture.shape[:2]
    color_type = _RGB if picture.ndim == 3 else _GREY if palette is None else _PALETTE
    filtered = _averaged(picture) if picture.ndim == 3 else _differences(picture)
    header = struct.pack(">IIBBBBB", width, height, 8 * picture.dtype.itemsize, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", _compressed(filtered)), (b"IEND", b"")]
    if palette is not None:
        chunks.insert(1, (b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    return b"".join([_SIGNATURE, *(part for kind, content in chunks for part in _chunk(kind, content))])


def _chunk(kind, content):
    """Returns the parts of a chunk: length, kind, content and checksum."""
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)


def _differences(ids):
    """Returns rows of bytes, each less the row above it. Ids have whole areas of one class, which become zeros."""
    rows = np.ascontiguousarray(ids.astype(ids.dtype.newbyteorder(">"), copy=False)).view(np.uint8)
    filtered = _rows_of(rows.shape, _UP)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _averaged(picture):
    """Returns rows of bytes, each less the mean of the bytes of the pixels at its left and above it."""
    height, width, channels = picture.shape
    framed = np.zeros((height + 1, (width + 1) * channels), np.uint8)  # the pixels beyond the edges count as 0
    framed[1:, channels:] = picture.reshape(height, -1)
    left, above = framed[1:, :-channels], framed[:-1, channels:]
    mean = (left & above) + ((left ^ above) >> 1)  # rounded down, without leaving 8 bits
    filtered = _rows_of(mean.shape, _AVERAGE)
    np.subtract(framed[1:, channels:], mean, out=filtered[:, 1:])
    return filtered


def _rows_of(shape, kind):
    """Returns an array for filtered rows of this (rows, bytes): a row begins with the number of its filter."""
    filtered = np.empty((shape[0], shape[1] + 1), np.uint8)
    filtered[:, 0] = kind
    return filtered


def _compressed(filtered):
    """Returns bytes as a zlib stream.

    Runs of equal bytes are looked for where there are many. A photograph has next to none, and its bytes are written
    with a Huffman code alone, which takes three quarters of the time.
    """
    is_flat = 2 * np.count_nonzero(filtered) < filtered.size
    strategy = zlib.Z_RLE if is_flat else zlib.Z_HUFFMAN_ONLY
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return stream.compress(filtered) + stream.flush()
