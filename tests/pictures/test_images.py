"""Image files of every kind become RGB arrays the right way up; whatever is wrong with one is one error about it."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import UserError
from deeplab.pictures import images
from helpers import fake_data

PHOTO = fake_data.image(40, 56)
GREY = PHOTO[..., 0]
SIXTEEN = GREY.astype(np.uint16) * 257
EXIF_ORIENTATION, TURNED_RIGHT = 0x0112, 6  # the camera was turned: rotate by 90 degrees


def encoded(picture, file_format="PNG", **options):
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, file_format, **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = TURNED_RIGHT
    return exif


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(PHOTO), PHOTO),
        (encoded(GREY), GREY[..., None]),
        (encoded(SIXTEEN), GREY[..., None]),
        (encoded(SIXTEEN, "TIFF"), GREY[..., None]),
        (encoded(SIXTEEN, "PPM"), GREY[..., None]),
        (encoded(SIXTEEN // 300), SIXTEEN[..., None] // 300 // 257),  # a dark one stays dark
        (encoded(PHOTO, exif=turned()), np.rot90(PHOTO, -1)),
        (encoded(SIXTEEN, exif=turned()), np.rot90(GREY, -1)[..., None]),
        (encoded(Image.fromarray(PHOTO).convert("CMYK"), "TIFF"), PHOTO),
        (encoded(Image.new("RGBA", (5, 4), (9, 9, 9, 0))), np.full((4, 5, 1), 255)),
        (encoded(Image.new("LA", (5, 4), (9, 255))), np.full((4, 5, 1), 9)),
        (encoded(Image.new("1", (1, 1))), np.zeros((1, 1, 1))),
    ],
)
def test_every_kind_of_image_becomes_rgb(content, expected):
    image = images.decode(content, "file")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.broadcast_to(expected, (*expected.shape[:2], 3)))


@pytest.mark.parametrize(
    ("picture", "file_format"),
    [(PHOTO, "JPEG"), (Image.fromarray(PHOTO).convert("CMYK"), "JPEG"), (Image.fromarray(PHOTO).convert("P"), "GIF")],
)
def test_lossy_kinds_come_near(picture, file_format):
    image = images.decode(encoded(picture, file_format), "file")
    assert np.abs(image.astype(int) - PHOTO).mean() < 20


def png_header(width, height):
    body = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + struct.pack(">I", 9)
        + b"IDAT"
    )


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable image"),
        (b"just text", r"not a readable image \(of no known kind\)"),
        (encoded(PHOTO)[:200], "not a readable image"),
        (encoded(PHOTO, "JPEG")[:400], "not a readable image"),
        (EPS, "not a readable image"),  # Pillow would start another program for it
        (encoded(GREY.astype(np.int32), "TIFF"), "32 bit or signed values"),
        (encoded(GREY.astype(np.float32), "TIFF"), "32 bit or signed values"),
        (png_header(40_000, 40_000), "40000x40000 pixels; more than 178956970 are refused"),
    ],
)
def test_bad_files_are_refused_by_name(content, message):
    with pytest.raises(UserError, match=f"^photos/x: .*{message}") as error:
        images.decode(content, "photos/x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("raised", [MemoryError(), EOFError(), struct.error("unpack"), IndexError(), TypeError("a\nb")])
def test_whatever_a_decoder_raises_is_one_line(monkeypatch, raised):
    def fail(*_arguments):
        raise raised

    monkeypatch.setattr(images.ImageOps, "exif_transpose", fail)
    with pytest.raises(UserError, match=r"^photos/x: ") as error:
        images.decode(encoded(PHOTO), "photos/x")
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow about damaged tags
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "JPEG2000"])
def test_damaged_bytes_give_an_image_or_a_user_error(file_format):
    chance, refused = random.Random(0), 0
    original = encoded(PHOTO, file_format)
    for _ in range(60):
        content = bytearray(original)
        for _ in range(chance.choice((1, 4, 30))):
            content[chance.randrange(min(len(content), chance.choice((64, len(content)))))] = chance.randrange(256)
        try:
            assert images.decode(bytes(content[: chance.choice((None, len(content) // 2))]), "file").shape[2] == 3
        except UserError:
            refused += 1
    assert refused > 0


def test_huge_images_are_refused_before_they_are_decoded(tmp_path):
    with pytest.raises(UserError, match="56x40 pixels; more than 100 are refused"):
        images.open_picture(fake_data.save(PHOTO, tmp_path / "large.png"), 100)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        images.open_picture(str(tmp_path))


GREEN = Image.new("RGB", (56, 40), (0, 200, 0))
SEVERAL = {"save_all": True, "append_images": [GREEN]}
PAGES = encoded(PHOTO, "TIFF", **SEVERAL)
OPAQUE = Image.fromarray(PHOTO).convert("RGBA")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow about damaged tags
@pytest.mark.parametrize(
    ("content", "losses"),
    [
        (encoded(PHOTO), ()),
        (encoded(GREY), ()),
        (encoded(OPAQUE), ()),
        (encoded(PHOTO, "GIF"), ()),
        (encoded(PHOTO, "MPO", **SEVERAL), ()),  # what phones write is no loss
        (PAGES, ("pages",)),
        (PAGES[:-60], ("pages",)),  # a second page that is damaged
        (encoded(PHOTO, "GIF", **SEVERAL), ("pages",)),
        (encoded(PHOTO, "PNG", **SEVERAL), ("pages",)),
        (encoded(PHOTO, "WEBP", **SEVERAL), ("pages",)),
        (encoded(Image.new("RGBA", (5, 4), (9, 9, 9, 254))), ("transparency",)),
        (encoded(Image.new("P", (5, 4)), transparency=0), ("transparency",)),
        (encoded(SIXTEEN), ("depth",)),
        (encoded(SIXTEEN, "TIFF"), ("depth",)),
        (b"P6 2 1 65535\n" + bytes(12), ("depth",)),
        (b"P6 2 1 100\n" + bytes(6), ()),
        (struct.pack("<2sHIH", b"II", 42, 8, 0), None),
    ],
)
def test_what_a_file_holds_and_the_pixels_do_not_is_told(tmp_path, content, losses):
    (tmp_path / "file").write_bytes(content)
    if losses is None:
        with pytest.raises(UserError, match="a TIFF with a layout that Pillow does not know"):
            images.open_picture(str(tmp_path / "file"))
    else:
        picture = images.open_picture(str(tmp_path / "file"))
        assert picture.losses == losses
        np.testing.assert_array_equal(picture.pixels, images.decode((tmp_path / "file").read_bytes(), "file"))


@pytest.mark.parametrize(
    ("bits", "extra", "losses"),
    [(8, (), ()), (16, (), ("depth",)), (8, (0,), ("bands",)), (16, (0,), ("bands", "depth"))],
)
def test_bands_and_depth_of_a_tiff(bits, extra, losses):
    """`extra`: what TIFF calls ExtraSamples; 0 is a band whose meaning is not told."""
    bands = 3 + len(extra)
    tags = [(256, 1), (257, 1), (262, 2), (273, 0), (277, bands), (278, 1), (279, bands * bits // 8)]
    fields = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    fields.insert(2, struct.pack("<HHII", 258, 3, bands, 200))
    fields += [struct.pack("<HHII", 338, 3, len(extra), 0)] if extra else []
    directory = struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + b"".join(fields) + bytes(4)
    content = directory.ljust(200, b"\0") + struct.pack(f"<{bands}H", *[bits] * bands) + bytes(bands * 2)
    assert images._decode(content, "file").losses == losses


def test_losses_are_described_once_for_each_kind():
    told = images.describe_losses({"depth": ["c"], "pages": ["a", "b"], "bands": []})
    assert told == [
        "2 images have further pages or frames, of which only the first was used, for example a",
        "1 image has more than 8 bits per value, which were scaled to 8 bits, for example c",
    ]


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_in_the_header_is_that_of_the_pixels(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / "photo.jpg")
    Image.fromarray(fake_data.image(20, 30)).save(path, exif=exif)
    assert images.size(path) == images.open_picture(path).pixels.shape[:2]
    (tmp_path / "text.jpg").write_text("no image")
    assert images.size(str(tmp_path / "text.jpg")) is images.size(str(tmp_path / "nowhere.jpg")) is None
