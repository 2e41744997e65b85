"""Files of all kinds are read as they are stored."""

import io

import numpy as np
import pytest
from PIL import Image

from deeplab.errors import UserError
from deeplab.pictures.bands import reading, shown
from helpers import many_bands

DEEP = np.random.default_rng(0).integers(0, 65536, (6, 8, 4)).astype(np.uint16)


def encoded(array, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def deep_png(array):
    """Returns the PNG of (H, W, 3 or 4) uint16, which Pillow cannot write."""
    import tensorflow as tf

    return tf.io.encode_png(tf.constant(array)).numpy()


def tiff(array, **options):
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("bands", [3, 4])
def test_a_png_of_16_bits_keeps_them(bands):
    pixels, orientation = reading.read(deep_png(DEEP[..., :bands]), tuple(range(1, bands + 1)))
    np.testing.assert_array_equal(pixels, DEEP[..., :bands])
    assert orientation == 1
    grey, _ = reading.read(encoded(DEEP[..., 0]))
    np.testing.assert_array_equal(grey, DEEP[..., :1])


def test_alpha_is_a_band_that_is_asked_for():
    rgba = DEEP.astype(np.uint8)
    content = encoded(rgba)
    np.testing.assert_array_equal(reading.read(content)[0], rgba[..., :3])
    np.testing.assert_array_equal(reading.read(content, (4, 1))[0], rgba[..., [3, 0]])
    assert (reading.number_of_bands(content), reading.number_of_bands(content, with_alpha=True)) == (3, 4)
    with pytest.raises(UserError, match=r"it has 4 bands, and bands=5 asks for band 5"):
        reading.read(content, (5,))


HOW = {
    "plain": {},
    "deflate": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 16), "compression": "zlib"},
    "planes": {"planarconfig": "separate"},
    "big": {"bigtiff": True},
    "big end first": {"byteorder": ">"},
}


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "int16"])
@pytest.mark.parametrize("how", HOW)
def test_tiffs_of_many_bands(how, kind):
    options = {"photometric": "minisblack", "planarconfig": "contig", **HOW[how]}
    image = np.random.default_rng(1).integers(0, 200, (19, 21, 5)).astype(kind)
    planes = how == "planes"
    if kind == "float32":
        options.pop("predictor", None)  # tifffile alone writes none for floats
    content = tiff(np.moveaxis(image, -1, 0) if planes else image, **options)
    pixels, _ = reading.read(content, (5, 1))
    np.testing.assert_array_equal(pixels, image[..., [4, 0]])
    assert pixels.dtype.name in reading.TYPES


def test_lzw_is_read_and_others_are_told():
    image = many_bands.scene(0, (40, 50), 1)[0][..., 0].astype(np.uint8)
    pytest.importorskip("tifffile")
    np.testing.assert_array_equal(reading.read(encoded(image, "TIFF", compression="tiff_lzw"))[0][..., 0], image)
    colours = np.stack([image, image // 2, image // 3], -1)
    np.testing.assert_array_equal(reading.read(encoded(colours, "TIFF", compression="tiff_lzw"))[0], colours)
    with pytest.raises(UserError, match=r"a TIFF compressed by jpeg; save it with deflate"):
        reading.read(encoded(colours, "TIFF", compression="jpeg"))


def test_pages_of_one_size_are_bands():
    stack = np.stack([DEEP[..., 0], DEEP[..., 1]])
    content = tiff(stack, photometric="minisblack")
    np.testing.assert_array_equal(reading.read(content)[0], DEEP[..., :2])
    assert reading.number_of_bands(content) == 2


def test_what_has_no_meaning_is_refused():
    with pytest.raises(UserError, match="1 values are no finite numbers"):
        reading.read(tiff(np.array([[0, 1], [2, np.nan]], np.float32)))
    with pytest.raises(UserError, match="which float32 does not hold"):
        reading.read(tiff(np.array([[0, 1], [2, (1 << 30) + 1]], np.int32)))
    with pytest.raises(UserError, match="8x6 pixels; more than 40 are refused"):
        reading.read(encoded(DEEP[..., 0]), max_pixels=40)
    content = tiff(DEEP, photometric="minisblack", planarconfig="contig")
    for damaged in (content[:30], content[: len(content) // 2], b"II*\0"):
        with pytest.raises(UserError, match="TIFF"):
            reading.read(damaged)
    with pytest.raises(UserError, match="more than 40"):
        reading.read(content, max_pixels=40)


def test_images_are_upright():
    from PIL import ImageOps

    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(grey, "PNG", exif=exif)
        pixels, found = reading.read(content)
        assert found == orientation
        with Image.open(io.BytesIO(content)) as image:
            np.testing.assert_array_equal(pixels[..., 0], np.asarray(ImageOps.exif_transpose(image)))


def test_people_see_three_bands_stretched():
    rgb = DEEP[..., :3].astype(np.uint8)
    assert shown.rgb(rgb) is rgb
    for bands in (1, 2, 4):
        picture = shown.rgb(DEEP[..., :bands] // 32)
        assert (picture.shape, picture.dtype) == ((6, 8, 3), np.uint8)
        assert (picture.min(), picture.max()) == (0, 255)
    assert not shown.rgb(np.zeros((3, 3, 5), np.uint16)).any()
