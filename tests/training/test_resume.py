"""Signals in the middle of a training, started again: the weights of an uninterrupted one, bit for bit."""

import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from deeplab.checkpoints import bundle
from deeplab.training.loop import EXIT_STOPPED
from helpers import fake_data

STEPS = 15


def command(folder, shards, *flags):
    return [
        sys.executable, "-m", "deeplab.train", f"--train_logdir={folder}", f"--dataset_dir={shards}",
        "--train_crop_size=33,33", "--train_batch_size=2", "--depth_multiplier=0.25", "--base_learning_rate=0.05",
        f"--training_number_of_steps={STEPS}", "--log_steps=1", "--save_interval_steps=3", *flags,
    ]  # fmt: skip


def interrupted(folder, shards, signal_number, after_step, *flags):
    """Starts a training, sends the signal once it has said `after_step`; returns the exit code."""
    process = subprocess.Popen(command(folder, shards, *flags), stdout=subprocess.PIPE, text=True)
    with process:
        for line in process.stdout:
            if line.startswith(f"step {after_step}/"):
                process.send_signal(signal_number)
                break
        process.stdout.read()
    return process.returncode


@pytest.mark.slow
def test_killed_trainings_end_with_the_weights_of_an_uninterrupted_one(tmp_path):
    shards = fake_data.shards(tmp_path / "data", {"train": 5})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(whole, shards), check=True, stdout=subprocess.PIPE)
    assert interrupted(parts, shards, signal.SIGKILL, after_step=5) == -signal.SIGKILL
    assert bundle.step_of(bundle.latest(str(parts))) in (3, 6)
    assert interrupted(parts, shards, signal.SIGTERM, after_step=7) == EXIT_STOPPED
    assert bundle.step_of(bundle.latest(str(parts))) in range(7, STEPS)
    assert interrupted(parts, shards, signal.SIGINT, after_step=10) == 130
    assert bundle.step_of(bundle.latest(str(parts))) in range(10, STEPS)
    said = subprocess.run(command(parts, shards), check=True, stdout=subprocess.PIPE, text=True).stdout
    assert re.search(r"Resuming .*parts at step", said)
    check_same(whole, parts)


@pytest.mark.slow
def test_deterministic_trainings_resume_bit_for_bit(tmp_path):
    shards = fake_data.shards(tmp_path / "data", {"train": 5})
    flags = ("--deterministic", "--color_jitter=0.2", "--rotation_degrees=10", "--blur_sigma=1")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(command(whole, shards, *flags), check=True, stdout=subprocess.PIPE)
    assert interrupted(parts, shards, signal.SIGKILL, 5, *flags) == -signal.SIGKILL
    subprocess.run(command(parts, shards, *flags), check=True, stdout=subprocess.PIPE)
    check_same(whole, parts)


def check_same(*folders):
    """Checks that two trainings ended with the same weights, bit for bit."""
    expected, found = (bundle.read(str(pathlib.Path(folder) / f"model.ckpt-{STEPS}")) for folder in folders)
    assert expected.keys() == found.keys()
    different = [name for name in expected if not np.array_equal(expected[name], found[name])]
    assert not different
