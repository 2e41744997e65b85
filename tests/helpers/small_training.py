"""Makes a train_logdir with a small, untrained network, once for all tests that need any network on disk."""

import atexit
import functools
import os
import pathlib
import shutil
import tempfile

import numpy as np

import deeplab
from deeplab import devices
from deeplab.checkpoints import bundle
from deeplab.data import catalog
from deeplab.model import backbones
from deeplab.model.names import reference_name
from deeplab.programs import train_logdir
from deeplab.training import run_folder
from helpers import fake_data

CLASSES = 3
SIZES = ((48, 64), (40, 33), (65, 65))  # sizes of pictures; the network is made for the last one


def logdir():
    """Returns the folder, which holds config.json, dataset.json and model.ckpt-7."""
    return _logdir(backbones.BACKBONES["mobilenet_v2"].build)  # the fixture short_mobilenet replaces it


@functools.cache
def _logdir(_network):
    folder = _folder()
    devices.set_seed(0)
    config = deeplab.ModelConfig(
        num_classes=CLASSES, depth_multiplier=0.25, output_stride=16, crop_size=(65, 65), decoder_output_stride=(4,)
    )
    model = deeplab.build_model(config, (65, 65, 3))
    images = np.stack([fake_data.image(65, 65, seed) for seed in range(4)])
    for _ in range(10):
        model(images, training=True)  # settles the batch norms, so that features differ from pixel to pixel
    kernel, bias = model.get_layer("logits.semantic").weights
    kernel.assign(np.random.default_rng(0).normal(0, 1, kernel.shape))
    bias.assign(-np.mean(model(images), axis=(0, 1, 2)))  # every class shall win somewhere
    values = {reference_name(variable): variable.numpy() for variable in model.variables}
    run_folder.write_config(folder, config)
    catalog.save(dataset(), folder)
    bundle.write(bundle.prefix_for(folder, 7), {**values, "global_step": np.int64(7)})
    return folder


def begin(config, model_config, dataset):
    """Begins or resumes the training of a TrainConfig up to its first step, and leaves a checkpoint."""
    folder = config.train_logdir
    train_logdir.claim(config, model_config, dataset)
    run_folder.write_config(folder, model_config, run_folder.recorded_options(config, model_config)["training"])
    catalog.save(dataset, folder)
    bundle.write(bundle.prefix_for(folder, 1), {"global_step": np.int64(1)})


@functools.cache
def shards():
    """Returns a dataset_dir with the splits train and val (5 images of 48x64)."""
    folder = _folder()
    return fake_data.shards(pathlib.Path(folder), {"train": 1, "val": 5}, CLASSES)


def dataset():
    """Returns the `Dataset` of `shards`."""
    names = tuple(f"kind {label}" for label in range(CLASSES))
    return catalog.Dataset("fake", CLASSES, class_names=names, colors=((0, 0, 0), (200, 30, 30), (30, 30, 200)))


def pictures():
    """Returns one (H, W, 3) uint8 image for each of `SIZES`."""
    return [fake_data.image(*size, seed=i) for i, size in enumerate(SIZES)]


def _folder():
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return os.path.join(folder, "made")
