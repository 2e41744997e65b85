"""tf.data service: two helping processes, started by the documented command, give the very batches of this process."""

import os
import subprocess
import sys

import numpy as np
import pytest

from deeplab import cli
from deeplab.checkpoints import bundle
from deeplab.config.data import AugmentConfig
from deeplab.config.training import TrainConfig
from deeplab.data.pipeline import Batches, train_batches
from deeplab.data.source import open_split
from deeplab.errors import UserError
from deeplab.files import locks
from deeplab.train import train
from helpers import fake_data
from helpers.places import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def addresses():
    command = [sys.executable, "-m", "deeplab.data_service", "--port=0", "--host=localhost"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) for _ in range(2)]
    try:
        ready = [process.stdout.readline() for process in processes]
        yield tuple(line.split("--data_service=")[1].split()[0] for line in ready)
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_helpers_give_the_same_batches(addresses, tmp_path):
    split = open_split(fake_data.shards(tmp_path, {"train": 7}), "train")
    config, batches = AugmentConfig(), Batches((33, 41), 4, (127.5,) * 3, seed=3)
    here = train_batches(split, config, batches, start_step=2)
    there = train_batches(split, config, batches, start_step=2, data_service=addresses)
    for one, other in zip(here.take(5), there.take(5), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_training_from_two_helpers_gives_the_same_weights(addresses, tmp_path, short_mobilenet):
    shards = fake_data.shards(tmp_path, {"train": 5})
    small = ["--train_crop_size=33,33", "--train_batch_size=2", "--training_number_of_steps=3"]
    weights = []
    for name, extra in (("here", []), ("there", [f"--data_service={','.join(addresses)}"])):
        folders = [f"--train_logdir={tmp_path / name}", f"--dataset_dir={shards}", "--depth_multiplier=0.25"]
        assert train(cli.read(TrainConfig, ["train", *folders, *small, *extra])) is None
        weights.append(bundle.read(str(tmp_path / name / "model.ckpt-3")))
        locks.release(str(tmp_path / name))
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name], err_msg=name)


def test_nobody_at_the_address(tmp_path):
    split = open_split(fake_data.shards(tmp_path, {"train": 2}), "train")
    with pytest.raises(UserError, match="--data_service=grpc://localhost:1: nobody answers"):
        train_batches(split, AugmentConfig(), Batches((9, 9), 1, (0, 0, 0)), data_service=("grpc://localhost:1",))
