"""Batches and examples from shards: exact, repeatable, and clear about bad records."""

import collections
import dataclasses
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.data import AugmentConfig, ResizeConfig
from deeplab.data import augment, photometric, tfrecord
from deeplab.data.pipeline import Batches, eval_examples, train_batches
from deeplab.data.records import user_errors
from deeplab.data.source import open_split, open_splits
from deeplab.errors import UserError
from deeplab.layers import hardware
from helpers import crafted_images as crafted
from helpers import fake_data
from helpers.pipeline_goldens import FOLDER, load
from helpers.places import SHARED

GRAY = (127.5, 127.5, 127.5)
SAMPLE = SHARED / "pascal_voc_sample"
EXTRAS = {"color_jitter": 0.3, "blur_sigma": 1.5, "rotation_degrees": 8.0}
FROM_ABOVE = {"vertical_flip_probability": 0.5, "quarter_turns": True, "rotation_degrees": 180.0}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return fake_data.shards(tmp_path_factory.mktemp("data"), {"train": 7, "val": 2})


def steps(dataset, count):
    """Returns the first `count` batches as NumPy arrays."""
    return [tuple(part.numpy() for part in batch) for batch in dataset.take(count)]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_references_shards_are_read_as_the_reference_reads_them():
    facts, arrays = load("tfrecord_eval")
    split = open_split(str(FOLDER / "tfrecord"), "val", facts["dataset"])
    examples = list(eval_examples(split))
    assert len(examples) == facts["num_samples"]
    for i, example in enumerate(examples):
        original, image, label = augment.eval_pair(
            example["image"], tf.cast(example["label"], tf.uint8)[..., tf.newaxis], ResizeConfig(), (65, 65), GRAY, 255
        )
        np.testing.assert_array_equal(original, arrays[f"original_image_{i}"][0])
        np.testing.assert_array_equal(image, arrays[f"image_{i}"][0])
        np.testing.assert_array_equal(label, arrays[f"label_{i}"][0])
        assert example["filename"].numpy().decode() == arrays[f"image_name_{i}"][0]
        assert [example["height"], example["width"]] == [arrays[f"height_{i}"][0], arrays[f"width_{i}"][0]]


@pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/pascal_voc_sample is not here")
def test_the_sample_shard_of_the_original_reads_unchanged():
    split = open_split(str(SAMPLE), "val")
    examples = list(eval_examples(split, checked=False))  # its labels are noise, 0 to 254
    assert [e["filename"].numpy() for e in examples] == [b"2007_000033", b"2007_000042", b"2007_000061"]
    assert all(e["image"].shape[:2] == e["label"].shape for e in examples)


@pytest.mark.parametrize("options", [{}, EXTRAS, FROM_ABOVE], ids=["default", "extras", "from above"])
def test_entering_at_a_step_gives_what_would_have_come(shards, options):
    split, config, batches = open_split(shards, "train"), AugmentConfig(**options), Batches((33, 41), 4, GRAY, seed=3)
    straight = steps(train_batches(split, config, batches), 6)
    assert_same(straight[4:], steps(train_batches(split, config, batches, start_step=4), 2))
    images, labels, _ = straight[0]
    assert (images.dtype, images.shape, labels.dtype) == (np.uint8, (4, 33, 41, 3), np.uint8)


def test_hosts_share_one_global_batch(shards):
    split = open_split(shards, "train")
    whole = steps(train_batches(split, AugmentConfig(), Batches((33, 41), 4, GRAY)), 3)
    parts = [steps(train_batches(split, AugmentConfig(), Batches((33, 41), 4, GRAY, 0, i, 2)), 3) for i in (0, 1)]
    assert_same(whole, [tuple(map(np.concatenate, zip(*pair, strict=True))) for pair in zip(*parts, strict=True)])


@pytest.mark.slow
def test_the_cache_changes_nothing(shards):
    split, batches = open_split(shards, "train"), Batches((33, 41), 4, GRAY)
    for config in (AugmentConfig(), AugmentConfig(min_resize_value=40)):
        plain = steps(train_batches(split, config, batches), 3)
        for (images, labels, names), (cached, cached_labels, cached_names) in zip(
            plain, steps(train_batches(split, config, batches, cache=True), 3), strict=True
        ):
            assert np.abs(images.astype(int) - cached).max() <= 2  # chroma of a JPEG next to the edge of the box
            np.testing.assert_array_equal(labels, cached_labels)
            np.testing.assert_array_equal(names, cached_names)


def test_several_splits_are_one(shards):
    parts, whole = [open_split(shards, name) for name in ("val", "train")], open_splits(shards, ("val", "train"))
    expected = [e["filename"].numpy() for part in parts for e in eval_examples(part)]
    assert [e["filename"].numpy() for e in eval_examples(whole)] == expected
    assert (whole.name, len(whole)) == ("val,train", sum(map(len, parts)))
    straight = steps(train_batches(whole, AugmentConfig(), Batches((33, 41), 4, GRAY)), 4)
    assert_same(straight[2:], steps(train_batches(whole, AugmentConfig(), Batches((33, 41), 4, GRAY), start_step=2), 2))
    assert open_splits(shards, ("val",)).paths == parts[0].paths
    with pytest.raises(UserError, match="split 'fold' does not exist"):
        open_splits(shards, ("val", "fold"))


def test_an_epoch_has_every_image_once_in_an_order_of_its_own(shards):
    split = open_split(shards, "train")
    names = np.concatenate([b[2] for b in steps(train_batches(split, AugmentConfig(), Batches((9, 9), 7, GRAY)), 6)])
    epochs = names.reshape(6, 7)
    assert all(set(epoch) == set(epochs[0]) and len(set(epoch)) == 7 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3
    other = train_batches(split, AugmentConfig(), Batches((9, 9), 7, GRAY, seed=1))
    assert [tuple(b[2]) for b in steps(other, 6)] != [tuple(epoch) for epoch in epochs]


def test_rotation_fills_with_padding_and_ignored_labels(shards):
    config = AugmentConfig(min_scale_factor=2.0, max_scale_factor=2.0, rotation_degrees=45.0)
    images, labels, _ = steps(train_batches(open_split(shards, "train"), config, Batches((65, 65), 8, GRAY)), 1)[0]
    assert set(np.unique(labels)) <= {0, 1, 2, 255}
    corners = labels[:, 0, 0] == 255
    assert corners.sum() >= 4
    assert (np.abs(images[corners, 0, 0].astype(int) - 128) <= 1).all()


ORIENTED = {  # options: the orientations of the plain crop, of which every one has to occur
    "vertical_flip_probability": (1.0, [lambda x: x[::-1]]),
    "quarter_turns": (True, [lambda x, count=count: np.rot90(x, count) for count in range(4)]),
}


@pytest.mark.parametrize("name", ORIENTED)
def test_flips_and_turns_move_pixels_and_draw_nothing_else(shards, name):
    """The crop is the one of before, turned as a whole: no other draw has changed, and no pixel is interpolated."""
    value, orientations = ORIENTED[name]
    split, batches = open_split(shards, "train"), Batches((33, 33), 8, GRAY, seed=3)
    plain, changed = (
        steps(train_batches(split, AugmentConfig(color_jitter=0.3, **more), batches), 2) for more in ({}, {name: value})
    )
    seen = set()
    for (images, labels, _), (turned, turned_labels, _) in zip(plain, changed, strict=True):
        for before, after in zip(
            zip(images, labels, strict=True), zip(turned, turned_labels, strict=True), strict=True
        ):
            fits = [i for i, f in enumerate(orientations) if all(map(np.array_equal, map(f, before), after))]
            assert fits
            seen.add(fits[0])
    assert seen == set(range(len(orientations)))


def test_crops_that_are_not_square_are_filled_after_a_quarter_turn(shards):
    """Turning the crop itself would need padding: an image of 48x64 holds a crop of 40x48 in both ways."""
    config = AugmentConfig(**{**STILL, "quarter_turns": True})
    images, labels, _ = steps(train_batches(open_split(shards, "train"), config, Batches((40, 48), 16, GRAY)), 1)[0]
    assert images.shape == (16, 40, 48, 3)
    stripes = labels[:, 1:-1, 1:-1]  # the first row of every label is ignored
    assert not (stripes == 255).any()
    upright = (stripes == stripes[:, :1]).all((1, 2))  # stripes run down, after a quarter turn from left to right
    assert 0 < upright.sum() < 16
    assert (stripes[~upright] == stripes[~upright][:, :, :1]).all()


@pytest.mark.parametrize("limit", [45.0, 180.0])
def test_free_rotation_reaches_every_angle_within_its_limit(limit):
    image, label = np.zeros((65, 65, 3), np.uint8), np.zeros((65, 65), np.uint8)
    image[30:35, 50:55], label[30:35, 50:55] = 250, 1  # to the right of the centre
    angles = []
    for number in range(60):
        turned, classes = photometric.rotate(
            image, label, AugmentConfig(rotation_degrees=limit), GRAY, 255, (7, number)
        )
        ys, xs = np.nonzero(classes.numpy() == 1)
        angles.append(np.degrees(np.arctan2(ys.mean() - 32, xs.mean() - 32)))
        assert turned.numpy()[round(ys.mean()), round(xs.mean()), 0] > 240  # label and image turn alike
    assert np.abs(angles).max() <= limit + 1
    quarters = np.floor(np.clip(angles, -limit, limit - 1) / (limit / 2)).astype(int)
    assert set(quarters) == {-2, -1, 0, 1}  # angles come from the whole range


def test_examples_are_shared_among_hosts(shards):
    split = open_split(shards, "train")
    parts = [[e["filename"].numpy() for e in eval_examples(split, numbers=range(i, len(split), 3))] for i in range(3)]
    assert collections.Counter(parts[0] + parts[1] + parts[2]) == collections.Counter(
        f"img_{i}".encode() for i in range(7)
    )
    resized = next(iter(eval_examples(split, ResizeConfig(min_resize_value=24))))
    assert (resized["image"].shape, resized["label"].shape) == ((24, 32, 3), (24, 32))
    assert (int(resized["height"]), int(resized["width"])) == (48, 64)


@pytest.mark.parametrize(
    ("folder", "split", "message"),
    [
        ("", "train", "--dataset_dir is not given"),
        ("missing", "train", "missing: no such folder"),
        ("empty", "train", "no .*shards in it"),
        ("shards", "test", "split 'test' does not exist in .*: expected one of train, val"),
    ],
)
def test_missing_things_are_named(folder, split, message, tmp_path, shards):
    (tmp_path / "empty").mkdir()
    path = {"": "", "shards": shards}.get(folder, str(tmp_path / folder))
    with pytest.raises(UserError, match=message):
        open_split(path, split)


def test_a_shard_that_was_cut_off_or_is_missing_is_named(tmp_path):
    folder = pathlib.Path(fake_data.shards(tmp_path))
    path = folder / "train-00001-of-00002.tfrecord"
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) - 10, 7):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"train-00001-of-00002.tfrecord: damaged or cut off in record \d"):
            open_split(str(folder), "train")
    path.unlink()
    with pytest.raises(UserError, match="has 1 shards, their names say 00002"):
        open_split(str(folder), "train")


BAD_RECORDS = {
    "label value 7 is outside the classes 0 to 2": {"label": np.full((48, 64), 7, np.uint8)},
    "is 64x48, its label 64x40": {"label": np.zeros((40, 64), np.uint8)},
    "has no image/encoded": {"image": b""},
    "has no image/segmentation/class/encoded": {"label": b""},
    "has image/encoded that is neither JPEG nor PNG": {"image": crafted.bmp(30_000, 30_000)},
    "has image/segmentation/class/encoded that is neither JPEG nor PNG": {"label": crafted.animation("GIF")},
    "is 40000x40000; more than 178956970 pixels are refused": dict.fromkeys(
        ("image", "label"), crafted.png_header(40_000, 40_000)
    ),
    "cannot be decoded": {"image": b"\xff\xd8\xff nonsense"},
}


@pytest.mark.parametrize("message", BAD_RECORDS)
def test_bad_records_are_named(message, shards, tmp_path):
    from deeplab.data.building import upright

    parts = {
        "image": upright.png_bytes(fake_data.image()),
        "label": np.zeros((48, 64), np.uint8),
        **BAD_RECORDS[message],
    }
    encoded = {k: v if isinstance(v, bytes) else upright.png_bytes(v) for k, v in parts.items()}
    path = tmp_path / tfrecord.shard_name("train", 0, 1)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tfrecord.serialize(tfrecord.Example("odd", encoded["image"], "png", encoded["label"], 48, 64)))
    (tmp_path / "dataset.json").write_text((pathlib.Path(shards) / "dataset.json").read_text())
    split = open_split(str(tmp_path), "train")
    for dataset in (train_batches(split, AugmentConfig(), Batches((33, 33), 2, GRAY)), eval_examples(split)):
        with pytest.raises(UserError, match=message) as error, user_errors(split):
            list(dataset.take(1))
        assert "decoded" in message or "odd" in str(error.value)
        assert "\n" not in str(error.value)


STILL = {"min_scale_factor": 1.0, "max_scale_factor": 1.0, "flip_probability": 0.0}  # nothing is drawn but the crop
OTHERWISE = {  # option: (an augmentation in which it has an effect, another value of the option)
    "min_resize_value": (STILL, 40),
    "max_resize_value": ({**STILL, "min_resize_value": 40}, 45),
    "resize_factor": ({**STILL, "min_resize_value": 40}, 16),
    "min_scale_factor": ({**STILL, "max_scale_factor": 2.0}, 0.5),
    "max_scale_factor": (STILL, 2.0),
    "scale_factor_step_size": ({**STILL, "max_scale_factor": 2.0}, 0.0),
    "flip_probability": (STILL, 1.0),
    "vertical_flip_probability": (STILL, 1.0),
    "quarter_turns": (STILL, True),
    "color_jitter": (STILL, 0.5),
    "blur_sigma": (STILL, 3.0),
    "rotation_degrees": (STILL, 20.0),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_every_option_of_the_augmentation_changes_the_images(shards, name):
    base, value = OTHERWISE[name]
    split, batches = open_split(shards, "train"), Batches((33, 41), 4, GRAY, seed=3)
    configs = (AugmentConfig(**base), AugmentConfig(**{**base, name: value}))
    (plain, _, names), (changed, _, same) = (steps(train_batches(split, c, batches), 1)[0] for c in configs)
    np.testing.assert_array_equal(names, same)
    assert np.abs(plain.astype(int) - changed).max() > 8


def test_every_option_of_the_augmentation_is_tried():
    fields = {field.name for field in dataclasses.fields(AugmentConfig)}
    assert set(OTHERWISE) == fields - {"keep_aspect_ratio"}  # which is refused


def test_only_where_there_is_a_gpu_batches_have_threads_of_their_own(shards, monkeypatch):
    split = open_split(shards, "train")
    options = {}
    for accelerated in (False, True):
        monkeypatch.setattr(hardware, "is_accelerated", lambda accelerated=accelerated: accelerated)
        stream = train_batches(split, AugmentConfig(), Batches((33, 33), 2, (127.5,) * 3))
        options[accelerated] = stream.options().threading.private_threadpool_size
    assert options == {False: None, True: os.cpu_count()}
