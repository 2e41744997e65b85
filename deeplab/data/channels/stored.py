"""How records hold images that JPEG and PNG of 8 bits cannot hold: other numbers of channels, other depths.

One form serves all of them: a header and the values, row by row, compressed by zlib. PNG has 16 bits, but at most four
channels and no floats, and TensorFlow would need another decoder for each number of channels; both take zlib's time to
read. The image is decoded whole, as a PNG is. This module does not import TensorFlow, since worker processes use it.
"""

import struct
import zlib

import numpy as np

from deeplab.errors import UserError

FORMAT = "bands"  # under image/format of a record
MAGIC = b"DLBANDS1"
TYPES = ("uint8", "uint16", "float32")
_HEADER = struct.Struct(">IIII")  # number of the type in TYPES, height, width, channels
HEADER_BYTES = len(MAGIC) + _HEADER.size
_LEVEL = 1  # of zlib: higher levels take several times as long for a few percent


def encode(pixels):
    """Returns the bytes that a record holds for pixels (H, W, C) of one of `TYPES`."""
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    header = _HEADER.pack(TYPES.index(pixels.dtype.name), *pixels.shape)
    return MAGIC + header + zlib.compress(np.ascontiguousarray(little).data, _LEVEL)


def decode(encoded):
    """Returns the pixels (H, W, C) that `encode` was given.

    Raises:
      UserError: the bytes are damaged or of another form.
    """
    if not encoded.startswith(MAGIC) or len(encoded) < HEADER_BYTES:
        raise UserError("not an image of several bands as the builder stores it; build the split again")
    kind, *shape = _HEADER.unpack_from(encoded, len(MAGIC))
    if kind >= len(TYPES) or min(shape) < 1:
        raise UserError(f"damaged: type {kind}, height, width and channels {shape}; build the split again")
    dtype = np.dtype(TYPES[kind]).newbyteorder("<")
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    reader = zlib.decompressobj()
    try:
        values = reader.decompress(encoded[HEADER_BYTES:], expected + 1)
    except zlib.error as error:
        raise UserError(f"damaged ({error}); build the split again") from None
    if len(values) != expected:
        raise UserError(f"damaged: {len(values)} bytes in place of {expected}; build the split again")
    return np.frombuffer(values, dtype).reshape(shape).astype(TYPES[kind], copy=False)
