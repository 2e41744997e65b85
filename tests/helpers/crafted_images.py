"""Image files that claim more than they hold, made of the few bytes that matter."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image, file_format, **options):
    """Returns a PIL image or an array as the bytes of a file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))).save(file, file_format, **options)
    return file.getvalue()


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width, height, *chunks):
    """Returns the beginning of an RGB PNG of that size, with further chunks."""
    size = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + b"".join(chunks)


def bmp(width, height, size=119, bits=24, compression=0, header=40):
    """Returns a BMP with that header and `size` bytes in all."""
    sides = struct.pack("<iiHHI", width, height, 1, bits, compression)
    head = b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + header) + struct.pack("<I", header) + sides
    return head + bytes(size - len(head))


def os2_bmp(width, height, size=119):
    """Returns a BMP of OS/2, whose sides have 16 bits; as 32 bits they are enormous."""
    head = b"BM" + struct.pack("<IHHIIHHHH", size, 0, 0, 26, 12, width, height, 1, 24)
    return head + bytes(size - len(head))


def webp(*chunks):
    """Returns a WebP of (kind, content)."""
    body = b"WEBP" + b"".join(k + struct.pack("<I", len(c)) + c + bytes(len(c) & 1) for k, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width, height, flags=0):
    """Returns the (kind, content) that begins an extended WebP; the flag 2 is an animation."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + sides


def vp8(width, height):
    return b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(20)


def vp8l(width, height):
    return b"VP8L", b"\x2f" + struct.pack("<I", width - 1 | (height - 1) << 14) + bytes(9)


def progressive(scans, width=64, height=48):
    """Returns a progressive JPEG of one colour with so many scans in all; the last one is repeated."""
    content = encoded(Image.new("RGB", (width, height), (90, 20, 30)), "JPEG", progressive=True)
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[last:end] * (scans - content.count(b"\xff\xda")) + content[end:]


def animation(file_format, frames=2, **options):
    """Returns a GIF, WebP or PNG with several frames."""
    shades = [Image.new("L", (9, 9), shade) for shade in (0, 255, 127)[:frames]]
    return encoded(shades[0], file_format, save_all=True, append_images=shades[1:], **options)


# Beginnings of formats that libraries read and nobody here should be sent.
FOREIGN = {
    "DDS": b"DDS " + struct.pack("<7I", 124, 0x1007, 8192, 8192, 0, 0, 0) + bytes(96),
    "AVIF": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(60),
    "SPIDER": struct.pack(">27f", 1, 64, 0, 0, 1, *[0] * 6, 64, 1, *[0] * 8, 256, 256, *[0] * 4) + bytes(2000),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "TIFF": encoded(Image.new("RGB", (4, 3)), "TIFF"),
    "PPM": b"P6 4 3 255\n" + bytes(36),
    "OS2": os2_bmp(4, 3),
    "nothing": b"",
    "text": b"text",
}
