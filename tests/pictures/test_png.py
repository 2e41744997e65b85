"""PNG files: every decoder reads back what was written, and files stay small."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.pictures import drawing
from helpers import fake_data

PALETTE = np.arange(768).reshape(256, 3).astype(np.uint8)
RANDOM = np.random.default_rng(0)
PICTURES = {
    "photograph": fake_data.image(37, 51),
    "noise": RANDOM.integers(0, 256, (20, 33, 3)).astype(np.uint8),
    "one colour": np.full((40, 30, 3), (9, 200, 255), np.uint8),
    "one pixel": np.array([[[1, 2, 3]]], np.uint8),
    "one row": RANDOM.integers(0, 256, (1, 300, 3)).astype(np.uint8),
    "one column": RANDOM.integers(0, 256, (300, 1, 3)).astype(np.uint8),
    "turned": fake_data.image(37, 51).transpose(1, 0, 2),  # not contiguous
    "ids": np.repeat(np.repeat(RANDOM.integers(0, 256, (5, 6)), 9, axis=0), 7, axis=1).astype(np.uint8),
    "one id": np.array([[255]], np.uint8),
    "large ids": RANDOM.integers(0, 65536, (12, 17)).astype(np.uint16),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_come_back(name):
    picture = PICTURES[name]
    content = drawing.png_of(picture)
    with Image.open(io.BytesIO(content)) as image:
        image.verify()  # the checksums
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    decoded = tf.io.decode_png(content, dtype=tf.uint16 if picture.dtype == np.uint16 else tf.uint8).numpy()
    np.testing.assert_array_equal(decoded.reshape(picture.shape), picture)


def test_a_palette_only_colours_the_ids():
    ids = PICTURES["ids"]
    with Image.open(io.BytesIO(drawing.png_of(ids, PALETTE))) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), ids)
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), PALETTE[ids])


@pytest.mark.parametrize("name", ["ids", "one colour"])
def test_areas_of_one_colour_take_little_room(name):
    picture = PICTURES[name]
    assert len(drawing.png_of(picture)) < picture.size / 5


def test_a_photograph_is_about_as_small_as_pillow_makes_it():
    rows, columns = np.mgrid[:200, :300]
    smooth = 120 + 60 * np.sin(rows / 30) + 40 * np.cos(columns / 20)
    picture = (smooth[..., None] + RANDOM.normal(0, 4, (200, 300, 3))).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    assert len(drawing.png_of(picture)) < 1.1 * len(buffer.getvalue())


def test_an_overlay_rounds_to_the_nearest_value():
    image, labels = PICTURES["noise"], RANDOM.integers(0, 256, (20, 33))
    colors = PALETTE[::-1].copy()
    colors[7] = 0
    strength = np.where(colors.any(axis=-1), 0.6, 0.3)[labels][..., None]
    exact = (1 - strength) * image + strength * colors[labels]
    exact[drawing.boundaries(labels)] = 255
    np.testing.assert_allclose(drawing.overlay(image, labels, colors), exact, atol=2)
