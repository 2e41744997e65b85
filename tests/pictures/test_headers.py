"""What image files claim, read before any decoder sees them: sizes, frames, scans; and what is refused."""

import io
import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.errors import UserError
from deeplab.pictures import headers, images
from helpers import crafted_images as crafted

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
GREY = Image.fromarray(PHOTO).convert("L")
HONEST = [
    ("PNG", crafted.encoded(PHOTO, "PNG"), 24),
    ("PNG", crafted.encoded(GREY, "PNG"), 8),
    ("JPEG", crafted.encoded(PHOTO, "JPEG"), 24),
    ("JPEG", crafted.encoded(PHOTO, "JPEG", exif=Image.Exif().tobytes(), comment=b"\xff\xda" * 9), 24),
    ("BMP", crafted.encoded(PHOTO, "BMP"), 24),
    ("BMP", crafted.encoded(GREY, "BMP"), 8),
    ("GIF", crafted.encoded(PHOTO, "GIF"), 8),
    ("WEBP", crafted.encoded(PHOTO, "WEBP"), 24),
    ("WEBP", crafted.encoded(PHOTO, "WEBP", lossless=True), 24),
    ("WEBP", crafted.encoded(Image.fromarray(PHOTO).convert("RGBA"), "WEBP"), 24),
]
SMALL_GIF = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0, 0, 0)  # up to its first block


@pytest.mark.parametrize(("file_format", "content", "bits"), HONEST)
def test_honest_files_are_what_pillow_says(file_format, content, bits):
    assert headers.read(content, "x", headers.SENT) == headers.Header(file_format, 56, 40, bits=bits)


@pytest.mark.parametrize("file_format", ["TIFF", "PPM", "JPEG2000"])
def test_further_formats_are_for_files_alone(file_format):
    content = crafted.encoded(PHOTO, file_format)
    assert headers.read(content, "x")[:3] == (file_format, 56, 40)
    with pytest.raises(UserError, match=r"^x: not a readable image \(of no kind that is taken: PNG, JPEG, BMP"):
        headers.read(content, "x", headers.SENT)


@pytest.mark.parametrize(
    ("content", "width", "height"),
    [
        (crafted.png_header(9_000_000, 1), 9_000_000, 1),
        (crafted.webp(crafted.webp_canvas(8192, 8000), crafted.vp8(3, 4)), 8192, 8000),
        (crafted.webp(crafted.vp8(16383, 16382)), 16383, 16382),
        (crafted.webp(crafted.vp8l(16384, 16383)), 16384, 16383),
        (crafted.bmp(3, -4), 3, 4),  # the first row is the top one
        (crafted.bmp(30_000, 20_000, bits=8, compression=1), 30_000, 20_000),  # runs of equal bytes, which are short
        (SMALL_GIF + b"," + struct.pack("<HHHHB", 1, 0, 60_000, 50_000, 0) + b"\2\0;", 60_001, 50_000),
    ],
)
def test_sizes_are_those_that_a_decoder_would_allocate(content, width, height):
    assert headers.read(content, "x", headers.SENT)[1:3] == (width, height)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("frames", [1, 3])
def test_frames_are_counted(file_format, frames):
    assert (headers.read(crafted.animation(file_format, frames), "x").frames > 1) == (frames > 1)


@pytest.mark.parametrize(
    "content",
    [
        crafted.webp(crafted.webp_canvas(8192, 8192, flags=2), (b"ANIM", bytes(6))),
        crafted.webp(crafted.webp_canvas(9, 9), (b"ANMF", bytes(16))),  # without the flag
        crafted.png_header(9, 9, crafted.png_chunk(b"acTL", struct.pack(">II", 1 << 30, 0))),
    ],
)
def test_animations_that_hold_no_frame_are_animations(content):
    assert headers.read(content, "x", headers.SENT).frames > 1


def test_scans_are_counted_and_limited():
    assert headers.read(crafted.progressive(90), "x") == headers.Header("JPEG", 64, 48, 1, 90, 24)
    assert headers.read(crafted.progressive(90), "x").work == 90 * 64 * 48
    with pytest.raises(UserError, match=r"^x: a JPEG with more than 100 scans"):
        images.decode(crafted.progressive(16_000), "x")


def test_scans_behind_the_image_do_not_count():
    """A phone writes a video behind a photograph, in which the bytes of a scan's beginning occur by chance."""
    assert headers.read(crafted.progressive(20) + b"\xff\xda" * 1000, "x").scans == 20


def test_scans_behind_an_end_inside_a_comment_count():
    content = crafted.progressive(101)
    scan = content.rindex(b"\xff\xda")
    with pytest.raises(UserError, match="more than 100 scans"):
        headers.read(content[:scan] + b"\xff\xfe\0\4\xff\xd9" + content[scan:], "x")
    hidden = content.index(b"\xff\xda")
    with pytest.raises(UserError, match="more than 100 scans"):
        headers.read(content[:hidden] + b"\xff\xfe\0\4\xff\xd9" + content[hidden:], "x")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *((content, "kind|another") for name, content in crafted.FOREIGN.items()),
        (crafted.bmp(30_000, 30_000), "shorter than its pixels"),
        (crafted.bmp(-30_000, 1, bits=32), "a side of -30000 pixels"),
        (crafted.bmp(3, 3, header=41), "no known version"),
        (crafted.png_header(0, 5), "a side of 0 pixels"),
        (b"\x89PNG\r\n\x1a\n" + crafted.png_chunk(b"tEXt", b"a\0" + bytes(40)), "does not begin with its size"),
        (crafted.png_header(9, 9, *[crafted.png_chunk(b"zTXt", b"a\0\0")] * 17), "17 compressed texts"),
        (crafted.png_header(9, 9, *[crafted.png_chunk(b"teXt", b"")] * 30_000), "more than 20000 chunks"),
        (b"\xff\xd8" + b"\xff\xfe\0\2" * 30_000, "more than 20000 segments"),
        (b"\xff\xd8\xff\xda\0\2", "without a size"),
        (b"\xff\xd8" + b"\xff\xc0\0\x0b\x08\0\5\0\5\1\1\x11\0" * 2, "two sizes"),
        (b"\xff\xd8\xff\xc3\0\x0b\x08\0\5\0\5\1\1\x11\0", "marker 0xc3"),
        (b"\xff\xd8\xff\xe0\0\2abcd", "bytes between its segments"),
        (SMALL_GIF + b";", "without a frame"),
        (SMALL_GIF + b"!\xfe" + b"\1a" * 300_000, "more than 200000 blocks"),
        (b"RIFF\x09\0\0\0WEBP", "without a size"),
        (b"RIFF\x09\0\0\0WAVEfmt ", "no known kind"),
    ],
)
def test_what_is_not_known_or_asks_for_too_much_is_refused_in_one_line(content, reason):
    with pytest.raises(UserError, match=rf"^x: .*({reason})") as error:
        headers.read(content, "x", headers.SENT)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow about damaged tags
def test_no_decoder_finds_more_pixels_than_the_header_was_read_to_have():
    """Pillow and TensorFlow parse by themselves: damaged files must not look smaller here than they do there."""
    chance, decoded = random.Random(0), 0
    for _ in range(600):
        content = bytearray(chance.choice(HONEST)[1])
        for _ in range(chance.choice((1, 1, 3))):
            place = chance.randrange(min(len(content), chance.choice((40, 80, len(content)))))
            content[place] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        try:
            header = headers.read(bytes(content), "x", headers.SENT)
        except UserError:
            continue
        if header.frames > 1 or header.pixels > 1_000_000:
            continue
        try:
            pixels = tf.io.decode_image(bytes(content), channels=3, expand_animations=False)
        except tf.errors.OpError:
            continue
        decoded += 1
        assert tf.size(pixels) <= 3 * header.pixels
        try:
            with Image.open(io.BytesIO(content), formats=images.FORMATS) as image:
                assert image.width * image.height <= header.pixels
        except (OSError, SyntaxError, ValueError):
            continue
    assert decoded > 50
