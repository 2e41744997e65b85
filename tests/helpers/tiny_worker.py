"""A program that is one process of a multi-worker training on the batches of tiny_training.py.

    TF_CONFIG=... python tests/helpers/tiny_worker.py RESULT.npz

tests/training/test_multi_worker.py runs it twice at once and compares the weights in RESULT.npz.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))  # run by its path: finds `helpers`
from deeplab import devices
from deeplab.config.optimization import ScheduleConfig
from deeplab.config.training import RunConfig
from deeplab.training import feeding, loop
from helpers import tiny_training as tiny

STEPS = 20


def main(result):
    strategy = devices.training_strategy(RunConfig(distribution_strategy="multi_worker_mirrored"))
    settings = tiny.config(schedule=ScheduleConfig(base_learning_rate=0.1, training_number_of_steps=STEPS))
    with strategy.scope():
        step = tiny.step(settings)

    def stream(first, host, hosts):
        images, labels = (np.stack(parts) for parts in zip(*tiny.batches(STEPS), strict=True))
        size = images.shape[1] // hosts
        mine = slice(host * size, (host + 1) * size)
        return tf.data.Dataset.from_tensor_slices((images[:, mine], labels[:, mine]))

    runner = loop.StepRunner(strategy, step, feeding.distribute(strategy, stream, 0, 4))
    runner.run(STEPS)
    assert not runner.in_any_process(False)
    assert runner.in_any_process(not devices.is_chief(strategy))  # a SIGTERM that only the other process got
    weights = tiny.weights(step)
    if devices.is_chief(strategy):
        np.savez(result, **{name.replace("/", "|"): value for name, value in weights.items()})


if __name__ == "__main__":
    main(sys.argv[1])
