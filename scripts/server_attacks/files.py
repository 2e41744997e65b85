"""Image files and JSON texts that ask for far more memory or time than their size suggests, each made here."""

import base64
import io
import json
import struct
import zlib

from PIL import Image


def png(width, height):
    """Returns a grey PNG file; its rows are compressed in pieces, so that a large one needs little memory here."""
    packer, data = zlib.compressobj(), []
    for _ in range(height):
        data.append(packer.compress(bytes(width + 1)))
    data.append(packer.flush())
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    for kind, part in ((b"IHDR", header), (b"IDAT", b"".join(data)), (b"IEND", b"")):
        content += struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
    return content


def bmp_bomb():
    """Returns 119 bytes whose header says 30000 x 30000 pixels."""
    header = struct.pack("<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return (b"BM" + struct.pack("<IHHI", 119, 0, 0, 54) + header).ljust(119, b"\0")


def webp_bomb():
    """Returns 119 bytes of lossless WebP whose header says 16383 x 16383 pixels."""
    bits = (16_382) | (16_382 << 14)
    return _riff(_chunk(b"VP8L", (b"\x2f" + struct.pack("<I", bits)).ljust(98, b"\0"))) + b"\0"


def animated_webp():
    """Returns an animation of one tiny frame on a canvas of 8192 x 8192 pixels."""
    canvas = b"\x02\0\0\0" + (8191).to_bytes(3, "little") * 2
    frame = bytes(6) + bytes(6) + (100).to_bytes(3, "little") + b"\0"
    pixel = _chunk(b"VP8L", b"\x2f\0\0\0\0\x88\x88\x08\0\0")
    return _riff(_chunk(b"VP8X", canvas) + _chunk(b"ANIM", bytes(6)) + _chunk(b"ANMF", frame + pixel))


def _chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _riff(content):
    return b"RIFF" + struct.pack("<I", len(content) + 4) + b"WEBP" + content


def animated_gif():
    frames = [Image.new("L", (9, 9), shade) for shade in (0, 255)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def of_kind(kind):
    """Returns a small image in a format that no server has to know, as Pillow writes it; its magic if it cannot."""
    buffer = io.BytesIO()
    try:
        Image.new("F" if kind == "SPIDER" else "RGB", (16, 16)).save(buffer, kind)
    except (KeyError, OSError, ValueError):
        return {"AVIF": b"\0\0\0\x20ftypavif", "DDS": b"DDS \x7c\0\0\0"}.get(kind, b"").ljust(200, b"\0")
    return buffer.getvalue()


def many_scans(scans=16_000, side=512):
    """Returns a progressive JPEG whose last scan comes so many times that decoding takes minutes."""
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 9).save(buffer, "JPEG", progressive=True, quality=30)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    scan = content[last:-2]
    short = scan[: 2 + int.from_bytes(scan[2:4], "big")] + b"\0\0"  # the header, and data that end at once
    return content[:-2] + short * scans + b"\xff\xd9"


def encoded(*files):
    """Returns the JSON body that sends files to the signature `bytes`."""
    instances = [{"b64": base64.b64encode(content).decode()} for content in files]
    return json.dumps({"instances": instances, "signature_name": "bytes"}).encode()


def instances(text):
    return b'{"instances": ' + text + b"}"
