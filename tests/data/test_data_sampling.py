"""The fast path against the naive order of steps: the same crop of the same image, whatever the draw."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab.config.data import AugmentConfig
from deeplab.data import augment, sampling

PAD_RGB = (123.15, 115.90, 103.06)
IGNORE = 255
RESIZE = {"min_resize_value": 97, "max_resize_value": 129, "resize_factor": 16}
NO_STEPS = {"scale_factor_step_size": 0.0}


def scene(height, width, image_format):
    """Returns (encoded image, label): smooth colours with edges, and a label of many small regions."""
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    image = np.stack([127 + 120 * np.sin(y / 9 + x / 23), x * 255 / width, (x // 16 + y // 16) % 2 * 200], -1)
    image = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, image_format, **({"quality": 90} if image_format == "JPEG" else {}))
    return file.getvalue(), rng.integers(0, 21, (height, width)).astype(np.uint8)


def naive(encoded, label, config, crop_size, drawn):
    """Returns the same crop by the steps of `augment`, rounded to uint8."""
    image = tf.io.decode_png(encoded, channels=3)
    image, label = augment.train_pair(image, label[..., np.newaxis], config, drawn, (crop_size, PAD_RGB, IGNORE))
    return sampling.to_uint8(image).numpy(), label.numpy()[..., 0]


def fast(encoded, label, config, crop_size, seed):
    """Returns the crop by `sampling`, and the draw."""
    size = sampling.image_size(encoded)
    drawn, rows, columns = sampling.draw(size, crop_size, config, seed)
    read_box = sampling.jpeg_or_png_box(encoded, size)
    image = sampling.sample_image(read_box, rows, columns, drawn.flip, config.min_resize_value is not None)
    label = sampling.sample_label(label, rows, columns, drawn.flip)
    return sampling.pad_crop(sampling.to_uint8(image), label, crop_size, drawn.flip, PAD_RGB, IGNORE), drawn


@pytest.mark.parametrize("options", [{}, NO_STEPS, RESIZE, {**RESIZE, **NO_STEPS}], ids=["", "any", "range", "both"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(120, 160), (75, 61), (1, 9)])
def test_fast_path_equals_the_naive_order(size, image_format, options):
    config = AugmentConfig(**options)
    encoded, label = scene(*size, image_format)
    differences = []
    for seed in range(8):
        (image, labels), drawn = fast(encoded, label, config, (65, 97), (7, seed))
        expected, expected_labels = naive(encoded, label, config, (65, 97), drawn)
        np.testing.assert_array_equal(labels, expected_labels)
        differences.append(np.abs(image.numpy().astype(int) - expected))
    assert np.max(differences) <= 2
    assert np.mean(differences) < 0.01


def test_size_is_read_from_the_header():
    for image_format in ("JPEG", "PNG"):
        assert [int(side) for side in sampling.image_size(scene(33, 300, image_format)[0])] == [33, 300]


def test_draws_depend_on_the_seed_alone():
    config = AugmentConfig()
    draws = [[float(v) for v in sampling.draw((200, 300), (65, 97), config, (1, i))[0]] for i in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 4
