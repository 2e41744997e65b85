"""Decodes masks that are stored as lengths of runs: COCO's, CVAT's and Label Studio's.

Every function checks what the runs add up to before it makes an array, since a file may claim any length.
"""

import numpy as np

from deeplab.errors import UserError

_MOST_PIXELS = 1 << 30
_CHANNELS = 4  # Label Studio stores a mask as the pixels of an RGBA image, whose last channel is the mask


def mask(counts, size, by_columns):
    """Returns a mask, bool, of the lengths of its runs, the first of which are of background.

    Args:
      counts: list or array of lengths, or COCO's compressed text of them.
      size: (height, width).
      by_columns: True where runs go down the columns (COCO), False where they go along the rows (CVAT).

    Raises:
      UserError: the runs do not fill the mask exactly.
    """
    height, width = size
    if isinstance(counts, str | bytes):
        counts = uncompressed(counts)
    counts = np.asarray(counts, np.int64)
    total, expected = int(counts.sum()), height * width
    if ((counts < 0) | (counts > expected)).any() or total != expected or expected > _MOST_PIXELS:
        raise UserError(f"a mask whose runs have {total} pixels, where {width}x{height} are {expected}")
    runs = np.zeros(len(counts), bool)
    runs[1::2] = True
    flat = np.repeat(runs, counts)
    return flat.reshape(width, height).T if by_columns else flat.reshape(height, width)


def uncompressed(text):
    """Returns the lengths of the runs of COCO's compressed text, as a list.

    Each number is a sequence of characters with 5 bits each, the lowest ones first; bit 5 says that more follow. From
    the fourth number on, the difference to the number two places before is stored. Source: rleFrString in maskApi.c.

    Raises:
      UserError: the text is cut off, or has characters that no such text has.
    """
    codes = text.encode("utf-8") if isinstance(text, str) else text
    counts, value, shift = [], 0, 0
    for code in codes:
        bits = code - 48
        if not 0 <= bits < 64 or shift > 60:
            raise UserError(f"a compressed mask with the character {chr(code)!r}, which none of COCO has")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise UserError("a compressed mask that is cut off")
    return counts


def brush_mask(data, size):
    """Returns the mask (H, W) bool of the bytes of a brush stroke of Label Studio.

    The bytes are those of rle-pack of thi.ng: the number of values (32 bits), their width less 1 (5 bits), four widths
    of lengths less 1 (4 bits each), then blocks: 1 bit that says whether one value is repeated, 2 bits that choose the
    width of the length, the length less 1, and one value or as many values as the length says.

    Raises:
      UserError: the bytes are cut off, or do not fill the mask exactly.
    """
    bits = "".join(f"{byte:08b}" for byte in data) if len(data) < 64 else _bits(data)
    count, expected = _number(bits, 0, 32), size[0] * size[1] * _CHANNELS
    if count != expected or expected > _MOST_PIXELS * _CHANNELS:
        raise UserError(f"a brush mask of {count} values, where {size[1]}x{size[0]} pixels of 4 values are {expected}")
    word = _number(bits, 32, 5) + 1
    widths = [_number(bits, 37 + 4 * i, 4) + 1 for i in range(4)]
    values, done, at = np.zeros(count, np.uint8), 0, 53
    while done < count:
        width = widths[_number(bits, at + 1, 2)]
        length = _number(bits, at + 3, width) + 1
        repeated = bits[at] == "1"
        at += 3 + width
        if done + length > count:
            raise UserError(f"a brush mask of more than the {count} values that it names")
        taken = 1 if repeated else length
        if at + taken * word > len(bits):
            raise UserError("a brush mask that is cut off")
        values[done : done + length] = [_number(bits, start, word) > 0 for start in range(at, at + taken * word, word)]
        done, at = done + length, at + taken * word
    return values.reshape(*size, _CHANNELS)[..., -1] > 0


def _bits(data):
    return (np.unpackbits(np.frombuffer(data, np.uint8)) + ord("0")).tobytes().decode("ascii")


def _number(bits, at, width):
    text = bits[at : at + width]
    if len(text) < width:
        raise UserError("a brush mask that is cut off")
    return int(text, 2)
