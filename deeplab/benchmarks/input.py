"""Measures the input pipeline against the naive order of steps and against decoding alone, on drawn images."""

import tempfile
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.benchmarks.timing import Row
from deeplab.config.data import AugmentConfig
from deeplab.data import augment, records, sampling, tfrecord
from deeplab.data.building import upright
from deeplab.data.pipeline import Batches, train_batches
from deeplab.data.source import open_split

_PAD_RGB = (127.5, 127.5, 127.5)
_SEED = 0
_BATCH = 4
_NOISE = {"jpeg": 6.0, "png": 1.0}  # standard deviation


class Setting(NamedTuple):
    """Sizes of one measurement, (height, width) in pixels, and the format of the images."""

    image: tuple
    crop: tuple
    count: int  # type: ignore[assignment]  # images that are timed; hides tuple.count
    image_format: str = "jpeg"

    @property
    def name(self):
        size, crop = (f"{height}x{width}" for height, width in (self.image, self.crop))
        return f"{size} {self.image_format}, crop {crop}"


SETTINGS = (
    Setting((360, 480), (257, 257), 400),  # CamVid
    Setting((360, 480), (321, 321), 400),
    Setting((375, 500), (513, 513), 200),  # PASCAL VOC
    Setting((1024, 2048), (513, 513), 60),  # Cityscapes as JPEGs
    Setting((1024, 2048), (769, 769), 60),
    Setting((1024, 2048), (769, 769), 40, "png"),  # Cityscapes as it is published
)
# "reading" fetches the bytes of records and checks their checksums.
METHODS = ("pipeline", "naive order", "decode only", "reading")


class Speed(NamedTuple):
    """Images per second, and per second of one core."""

    wall: float
    core: float


def print_input(quick=False):
    """Prints a table of the speeds of all settings; `quick` times a tenth of the images; returns a list of `Row`."""
    rows = []
    print(f"{'':31} {'method':12} {'images/s':>9} {'and core':>10} {'vs naive':>9} {'vs decoding':>12}")
    for setting in SETTINGS:
        count = max(_BATCH, setting.count // 10) if quick else setting.count
        speeds = measure(setting._replace(count=count))
        for method, speed in speeds.items():
            ratios = [speed.core / speeds[other].core for other in ("naive order", "decode only")]
            print(
                f"{setting.name:31} {method:12} {speed.wall:9.1f} {speed.core:10.1f} {ratios[0]:8.2f}x "
                f"{ratios[1]:11.2f}x",
                flush=True,
            )
            rows.append(Row(f"input {setting.name}, {method}", *[speed.core] * 3, "images/CPU-s"))
    return rows


def measure(setting):
    """Returns {method: Speed} for one `Setting`; images are drawn and thrown away again."""
    with tempfile.TemporaryDirectory() as folder:
        draw_shard(folder, setting.image, image_format=setting.image_format)
        split = open_split(folder, "train", "cityscapes")
        batches = Batches(setting.crop, _BATCH, _PAD_RGB, _SEED)
        pipeline = train_batches(split, AugmentConfig(), batches)
        datasets = (pipeline, _naive(split, setting.crop), _decoding(split), _reading(split))
        return {method: _speed(dataset, setting.count) for method, dataset in zip(METHODS, datasets, strict=True)}


def draw_shard(folder, size, count=4, image_format="jpeg", split="train"):
    """Writes one shard of `count` images with the detail of photographs, and labels of large regions.

    The noise gives the files the size that photographs have: 2.5 bits for each pixel of a JPEG, and 11 of a PNG.
    """
    height, width = size
    y, x = np.mgrid[:height, :width]
    with tf.io.TFRecordWriter(f"{folder}/{tfrecord.shard_name(split, 0, 1)}") as writer:
        for i in range(count):
            rng = np.random.default_rng(i)
            waves = [np.sin(y / rng.uniform(5, 90) + x / rng.uniform(5, 90)) for _ in range(3)]
            noise = rng.normal(0, _NOISE[image_format], (height, width, 3))
            image = np.clip(128 + 80 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)
            regions = ((y // 40 + x // 60 + i) % 19).astype(np.uint8)
            if image_format == "jpeg":
                encoded = tf.io.encode_jpeg(image, quality=92).numpy()
            else:
                encoded = tf.io.encode_png(image).numpy()
            record = tfrecord.Example(f"{i}", encoded, image_format, upright.png_bytes(regions), height, width)
            writer.write(tfrecord.serialize(record))


def _naive(split, crop_size):
    """The reference's order of steps with the pipeline's draws, batched like it."""
    config, crop = AugmentConfig(), (crop_size, _PAD_RGB, split.dataset.ignore_label)

    @tf.autograph.experimental.do_not_convert
    def example(position):
        record = split.record(position % len(split))
        image, label = records.whole_image(record, split.dataset), records.whole_label(record, split)[..., tf.newaxis]
        size = tf.shape(image)
        drawn, *_ = sampling.draw((size[0], size[1]), crop_size, config, tf.stack([_SEED, position]))
        image, label = augment.train_pair(image, label, config, drawn, crop)
        return tf.ensure_shape(image, (*crop_size, 3)), tf.ensure_shape(label, (*crop_size, 1))

    return _endless(example).batch(_BATCH).prefetch(tf.data.AUTOTUNE)


def _decoding(split):
    """Decodes whole images and labels and does nothing else."""

    @tf.autograph.experimental.do_not_convert
    def example(position):
        record = split.record(position % len(split))
        return records.whole_image(record, split.dataset), records.whole_label(record, split)

    return _endless(example).batch(_BATCH).prefetch(tf.data.AUTOTUNE)


def _reading(split):
    """Reads the bytes of records and does nothing else."""
    return _endless(
        tf.autograph.experimental.do_not_convert(lambda position: split.record(position % len(split)))
    ).batch(_BATCH)


def _endless(example):
    numbers = tf.data.Dataset.counter(dtype=tf.int64)
    return numbers.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _speed(dataset, count):
    iterator = iter(dataset)
    devices.keep_freed_memory()  # as in a training
    for _ in range(3):
        next(iterator)  # fills the buffers
    wall, core = time.perf_counter(), time.process_time()
    for _ in range(count // _BATCH):
        next(iterator)
    images = count // _BATCH * _BATCH
    return Speed(images / (time.perf_counter() - wall), images / (time.process_time() - core))
