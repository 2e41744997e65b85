"""tf.data service: two helping processes, started by the documented command, give the very batches of this process."""

import os
import pathlib
import subprocess
import sys

import fake_data
import numpy as np
import pytest

from deeplab.config.data import AugmentConfig
from deeplab.data.pipeline import Batches, train_batches
from deeplab.data.source import open_split
from deeplab.errors import UserError

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def addresses():
    command = [sys.executable, "-m", "deeplab.data_service", "--port=0", "--host=localhost"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    try:
        ready = [process.stdout.readline() for process in processes]
        yield tuple(line.split("--data_service=")[1].split()[0] for line in ready)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_two_helpers_give_the_same_batches(addresses, tmp_path):
    split = open_split(fake_data.shards(tmp_path, {"train": 7}), "train")
    config, batches = AugmentConfig(), Batches((33, 41), 4, (127.5,) * 3, seed=3)
    here = train_batches(split, config, batches, start_step=2)
    there = train_batches(split, config, batches, start_step=2, data_service=addresses)
    for one, other in zip(here.take(5), there.take(5), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nobody_at_the_address(tmp_path):
    split = open_split(fake_data.shards(tmp_path, {"train": 2}), "train")
    with pytest.raises(UserError, match="--data_service=grpc://localhost:1: nobody answers"):
        train_batches(split, AugmentConfig(), Batches((9, 9), 1, (0, 0, 0)), data_service=("grpc://localhost:1",))
