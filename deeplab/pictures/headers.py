"""Says what an image file claims to be, from its bytes alone, before any decoder sees it.

Decoders allocate what a header says, some of them for every frame, and run through every scan. So one reader answers
first, for all programs: which of the known formats it is, how large, how many frames and scans. What it does not know
is not an image, whatever a decoder would make of it. Sizes are at least those that any decoder takes from the file.

Sources: PNG, W3C recommendation; JPEG, ITU-T T.81, annex B; GIF89a specification; WebP container, RFC 9649; VP8, RFC
6386; BMP, BITMAPINFOHEADER. TensorFlow and Pillow find the same sizes by the same fields.
"""

import io
import re
import struct
import warnings
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from deeplab.errors import UserError, one_line

# Formats that a stranger may send: those that TensorFlow and Pillow both decode, and this module reads itself.
SENT = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
# In files also those that Pillow alone reads; OS2 stands for the BMP of OS/2, whose size TensorFlow takes for another.
FILES = (*SENT, "OS2", "TIFF", "PPM", "JPEG2000")
MAX_SCANS = 100  # of a progressive JPEG. Programs write about 10; each costs a pass over the image
_MAX_PARTS = 20_000  # chunks, segments or blocks of a file: far more than any program writes
_MAX_COMPRESSED_TEXTS = 16  # of a PNG; libpng expands each of them to as much as 8 MB
_BY_PILLOW = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    **{b"P%c" % kind: "PPM" for kind in b"1234567fF0y"},
}
_TIFF_REASON = "a TIFF with a layout that Pillow does not know, e.g. of many bands; save its red, green and blue bands"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # {colour type of a PNG: its samples per pixel}
_FRAMES_OF_JPEG = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # SOF: baseline, extended, progressive; the last two arithmetic
_OTHER_FRAMES_OF_JPEG = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers of a JPEG without a length: TEM, RSTn
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # in a JPEG; in pixels, 0xFF is followed by 0 or is an RSTn
_RAW = (0, 3, 6)  # compressions of a BMP that are none: RGB, with masks, with masks and alpha


class Header(NamedTuple):
    """What a file says about itself.

    Attributes:
      format: one of `FILES`.
      width, height: the pixels that a decoder may allocate, 1 or more.
      frames: number of frames; of a GIF or WebP only whether there is one or more. Of a TIFF they are not counted: 1.
      scans: number of passes that a decoder makes over the pixels, more than 1 only in a progressive JPEG.
      bits: bits per pixel as they are stored; 0 where that is not known.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    scans: int = 1
    bits: int = 0

    @property
    def pixels(self):
        """The number of pixels of one frame."""
        return self.width * self.height

    @property
    def work(self):
        """What decoding takes, in pixels of an image that is stored in one pass."""
        return self.pixels * self.scans


def read(content, name, formats=FILES):
    """Returns the `Header` of the bytes of an image file; error messages call it `name`.

    Raises:
      UserError: the bytes are of none of the `formats`, their beginning is damaged, or they ask for the work of many
        files: scans, or texts that expand. Any bytes raise no other error.
    """
    try:
        header = _read(content, formats)
    except _DamagedError as error:
        raise UserError(f"{name}: not a readable image ({error})") from None
    except (struct.error, IndexError):
        raise UserError(f"{name}: not a readable image (it ends inside its header)") from None
    if header.width <= 0 or header.height <= 0:
        raise UserError(f"{name}: not a readable image (a side of {min(header.width, header.height)} pixels)")
    if header.scans > MAX_SCANS:
        raise UserError(f"{name}: a JPEG with more than {MAX_SCANS} scans, each a pass over the image; save it again")
    return header


class _DamagedError(Exception):
    """Why bytes are no image of a known format."""


def _read(content, formats):
    for name, (beginning, reader) in _READERS.items():
        if name in formats and content.startswith(beginning):
            header = reader(content)
            if header.format not in formats:
                break
            return header
    for beginning, name in _BY_PILLOW.items():
        if name in formats and content.startswith(beginning):
            return _by_pillow(content, name)
    raise _DamagedError("of no known kind" if formats == FILES else f"of no kind that is taken: {', '.join(formats)}")


def _by_pillow(content, name):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=(name,)) as image:
                return Header(name, *image.size)
    except Image.DecompressionBombError:
        raise
    except UnidentifiedImageError:
        raise _DamagedError(_TIFF_REASON if name == "TIFF" else "of no known kind") from None
    except Exception as error:  # damaged bytes make readers raise errors of any type
        raise _DamagedError(one_line(error) or type(error).__name__) from None


def _png(content):
    length, kind, width, height, depth, color = struct.unpack_from(">I4sIIBB", content, 8)
    if (length, kind) != (13, b"IHDR") or color not in _SAMPLES or depth not in (1, 2, 4, 8, 16):
        raise _DamagedError("a PNG that does not begin with its size")
    frames, texts = 1, 0
    for kind, start, _end in _chunks(content, 8, ">I4s", lambda _length: 4, lambda length, kind: (kind, length)):
        if kind == b"acTL":
            frames = max(frames, *struct.unpack_from(">I", content, start))
        texts += kind in (b"zTXt", b"iTXt", b"iCCP")
    if texts > _MAX_COMPRESSED_TEXTS:
        raise _DamagedError(f"a PNG with {texts} compressed texts; at most {_MAX_COMPRESSED_TEXTS} are read")
    return Header("PNG", width, height, frames, bits=depth * _SAMPLES[color])


def _chunks(content, position, form, behind, meaning):
    """Yields (kind, first byte, end) of every chunk from `position`; the last one may be cut off.

    Args:
      form: the format of a chunk's beginning, as `struct` takes it.
      behind: function of a chunk's length -> number of bytes that follow its content.
      meaning: function of the two values of the beginning -> (kind, length).
    """
    size = struct.calcsize(form)
    for _ in range(_MAX_PARTS):
        if position + size > len(content):
            return
        kind, length = meaning(*struct.unpack_from(form, content, position))
        yield kind, position + size, position + size + length
        position += size + length + behind(length)
    raise _DamagedError(f"more than {_MAX_PARTS} chunks")


def _jpeg(content):
    position, header = 2, None
    for _ in range(_MAX_PARTS):
        if content[position] != 0xFF:
            raise _DamagedError("a JPEG with bytes between its segments")
        while content[position] == 0xFF:
            position += 1
        marker, position = content[position], position + 1
        if marker in _ALONE or marker == 0:
            continue
        (length,) = struct.unpack_from(">H", content, position)
        if length < 2 or marker in (0xD8, 0xD9, *_OTHER_FRAMES_OF_JPEG):
            raise _DamagedError(f"a JPEG with the marker {marker:#x} in its beginning")
        if marker in _FRAMES_OF_JPEG:
            if header:
                raise _DamagedError("a JPEG with two sizes")
            depth, height, width, components = struct.unpack_from(">BHHB", content, position + 2)
            header = Header("JPEG", width, height, bits=depth * components)
        if marker == 0xDA:
            if not header:
                raise _DamagedError("a JPEG without a size")
            return header._replace(scans=_scans(content, position - 2))
        position += length
    raise _DamagedError(f"more than {_MAX_PARTS} segments")


def _scans(content, position):
    """Returns the number of scans of a JPEG, which begin at `position`, as far as libjpeg reads: to the image's end.

    Phones write further pictures and videos behind that end.
    """
    scans = 0
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(content, position)
        if not found or content[found.end() - 1] in (0xD8, 0xD9) or scans > MAX_SCANS:
            return scans
        marker, position = content[found.end() - 1], found.end()
        scans += marker == 0xDA
        if marker not in _ALONE:
            position += int.from_bytes(content[position : position + 2], "big")
    raise _DamagedError(f"more than {_MAX_PARTS} segments")


def _bmp(content):
    start, size = struct.unpack_from("<II", content, 10)
    if size == 12:
        width, height, _planes, bits = struct.unpack_from("<HHHH", content, 18)
        return Header("OS2", width, height, bits=bits)
    width, height, _planes, bits, compression = struct.unpack_from("<iiHHI", content, 18)
    if size not in (40, 52, 56, 64, 108, 124) or bits not in (1, 4, 8, 16, 24, 32):
        raise _DamagedError("a BMP of no known version")
    height = abs(height)  # negative if the first row is the top one
    if compression in _RAW and (max(width, 0) * bits + 31) // 32 * 4 * height > len(content) - start:
        raise _DamagedError("a BMP that is shorter than its pixels")
    return Header("BMP", width, height, bits=bits)


def _gif(content):
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    frames, parts, position = 0, 0, 13 + _palette_bytes(flags)
    while position < len(content) and frames < 2 and content[position] in b",!":
        if content[position] == ord("!"):
            position += 2
        else:
            frames += 1
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", content, position + 1)
            width, height = max(width, left + wide), max(height, top + high)
            position += 11 + _palette_bytes(flags)
        while content[position]:  # sub-blocks: a length and so many bytes
            position += 1 + content[position]
            parts += 1
            if parts > 10 * _MAX_PARTS:
                raise _DamagedError(f"a GIF of more than {10 * _MAX_PARTS} blocks")
        position += 1
    if not frames:
        raise _DamagedError("a GIF without a frame")
    return Header("GIF", width, height, frames, bits=8)


def _palette_bytes(flags):
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(content):
    if content[8:12] != b"WEBP":
        raise _DamagedError("of no known kind")
    sides, frames = [], 1
    odd = lambda length: length & 1  # noqa: E731 - chunks are filled up to an even length
    for kind, start, _end in _chunks(content, 12, "<4sI", odd, lambda kind, length: (kind, length)):
        if kind == b"VP8X":
            flags, wide, wider, high, higher = struct.unpack_from("<IHBHB", content, start)
            sides.append((1 + wide + (wider << 16), 1 + high + (higher << 16)))
            frames = 2 if flags & 2 else frames
        elif kind == b"VP8 ":
            wide, high = struct.unpack_from("<HH", content, start + 6)
            sides.append((wide & 0x3FFF, high & 0x3FFF))
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", content, start + 1)
            sides.append((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)))
        elif kind in (b"ANIM", b"ANMF"):
            frames = 2
    if not sides:
        raise _DamagedError("a WebP without a size")
    return Header("WEBP", max(wide for wide, _high in sides), max(high for _wide, high in sides), frames, bits=24)


# {format: (how its files begin, function (bytes) -> Header)}
_READERS = {
    "PNG": (b"\x89PNG\r\n\x1a\n", _png),
    "JPEG": (b"\xff\xd8\xff", _jpeg),
    "BMP": (b"BM", _bmp),
    "GIF": ((b"GIF87a", b"GIF89a"), _gif),
    "WEBP": (b"RIFF", _webp),
}
