"""Two processes under MultiWorkerMirroredStrategy on loopback end with the weights of one device."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from deeplab.config.optimization import ScheduleConfig
from helpers import tiny_training as tiny
from helpers import tiny_worker
from helpers.places import TESTS
from helpers.ports import free_ports

WORKER = TESTS / "helpers" / "tiny_worker.py"


@pytest.mark.slow
def test_two_workers_end_with_the_weights_of_one_device(tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
        command = [sys.executable, str(WORKER), str(tmp_path / f"{index}.npz")]
        workers.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        for worker in workers:
            assert worker.wait(timeout=300) == 0, worker.stderr.read()[-3000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert not (tmp_path / "1.npz").exists()  # only the chief writes

    settings = tiny.config(schedule=ScheduleConfig(base_learning_rate=0.1, training_number_of_steps=tiny_worker.STEPS))
    step = tiny.step(settings)
    tiny.train(step, count=tiny_worker.STEPS)
    with np.load(tmp_path / "0.npz") as found:
        tiny.check_same(tiny.weights(step), {name.replace("|", "/"): value for name, value in found.items()})
