"""The form of records of several bands, and the way from values to pixels."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.data import AugmentConfig
from deeplab.data import catalog, photometric, sampling
from deeplab.data.channels import facts, graph, stored, value_range
from deeplab.errors import UserError

FIVE = {"num_channels": 5, "bands": (1, 2, 3, 4, 5)}


def pixels(kind, shape=(7, 9, 5)):
    values = np.random.default_rng(0).integers(0, 256 if kind == "uint8" else 65536, shape)
    return values.astype(kind) / np.float32(7) if kind == "float32" else values.astype(kind)


@pytest.mark.parametrize("kind", stored.TYPES)
def test_records_hold_every_value(kind):
    image = pixels(kind)
    encoded = stored.encode(image)
    np.testing.assert_array_equal(stored.decode(encoded), image)
    dataset = catalog.Dataset("own", 3, value_range=() if kind == "uint8" else (0, 65535), **FIVE)
    decoded = graph.decode(tf.constant(encoded), dataset)
    assert decoded.dtype == ("uint8" if kind == "uint8" else "float32")
    np.testing.assert_array_equal(decoded, image)
    assert [int(side) for side in graph.size(tf.constant(encoded))] == [7, 9]
    assert graph.is_bands(tf.constant(encoded))
    assert not graph.is_bands(tf.constant(b"\x89PNG"))


@pytest.mark.parametrize(
    "change", [lambda x: x[:20], lambda x: x[:-5], lambda x: b"x" + x, lambda x: x[:30] + b"!" * 9]
)
def test_damaged_bytes_are_told(change):
    with pytest.raises(UserError, match="build the split again"):
        stored.decode(change(stored.encode(pixels("uint16"))))


def test_values_become_pixels_and_pixels_values():
    image = np.array([[[0, 1000], [4095, 2000], [9999, 500]]], np.float32)
    np.testing.assert_allclose(value_range.to_pixels(image, (0, 4095))[0, :, 0], [0, 255, 255])
    per_band = value_range.to_pixels(image, (0, 4095, 1000, 2000))
    np.testing.assert_allclose(per_band[0, :, 1], [0, 255, 0])
    each = value_range.to_pixels(image, value_range.PER_IMAGE)
    np.testing.assert_allclose((each.min(), each.max()), (0, 255), rtol=1e-6)
    assert not value_range.to_pixels(np.full((2, 2, 1), 7, np.uint16), value_range.PER_IMAGE).any()  # of one value
    for values in ((0, 4095), (0, 4095, 1000, 2000)):
        back = value_range.to_values(np.full((1, 1, 2), 102.0), values)
        np.testing.assert_allclose(value_range.to_pixels(back, values), 102, rtol=1e-5)
    whole = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(value_range.to_pixels(whole, (0, 255)), whole)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_channels": 5}, r"bands=\[\]: expected num_channels=5 numbers"),
        ({"bands": (0, 1, 2)}, r"bands=\[0, 1, 2\]"),
        ({"value_range": (1, 2, 3)}, "value_range="),
        ({"value_range": (5, 5)}, "each end above its beginning"),
        ({"value_range": "auto"}, "value_range='auto'"),
        ({"value_range": (0, float("inf"))}, "finite"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        catalog.Dataset("own", 3, **wrong)


def test_dataset_json_keeps_the_facts_and_stays_as_it_was_without_them(tmp_path):
    plain = catalog.Dataset("own", 3)
    assert "num_channels" not in catalog.to_json(plain)
    for dataset in (plain, catalog.Dataset("own", 3, value_range="per_image", **FIVE)):
        catalog.save(dataset, str(tmp_path))
        assert catalog.load(str(tmp_path)) == dataset
    assert facts.difference(dataset, plain) == "5 channels, not 3"
    other = dataclasses.replace(dataset, value_range=(0, 4095))
    assert facts.difference(dataset, other) == "the value range per_image, not 0,4095"
    assert facts.difference(dataset, dataclasses.replace(dataset, bands=(5, 4, 3, 2, 1))).startswith(
        "the bands 1,2,3,4,5,"
    )
    assert not facts.difference(plain, dataclasses.replace(plain, bands=(1, 2, 3)))


def test_augmentations_take_any_number_of_bands():
    image = tf.constant(np.random.default_rng(0).uniform(0, 255, (33, 33, 5)), tf.float32)
    augment = AugmentConfig(color_jitter=0.3, blur_sigma=1.0, rotation_degrees=20)
    recolored = photometric.recolor(image, augment, (1, 2))
    assert recolored.shape == image.shape
    assert 0 <= float(tf.reduce_min(recolored)) <= float(tf.reduce_max(recolored)) <= 255
    padding = (127.5,) * 5
    label = tf.zeros((33, 33), tf.uint8)
    turned, _label = photometric.rotate(image, label, augment, padding, 255, (3, 4))
    assert turned.dtype == tf.float32
    np.testing.assert_allclose(turned[0, 0], padding)
    padded, _label = sampling.pad_crop(image, label, (40, 40), tf.constant(False), padding, 255)
    np.testing.assert_allclose(padded[-1, -1], padding)
