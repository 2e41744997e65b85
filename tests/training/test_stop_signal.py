"""SIGTERM and Ctrl-C: the training is saved and says how it goes on; a second Ctrl-C ends it at once."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from deeplab.config.optimization import ScheduleConfig
from deeplab.config.training import RunConfig
from deeplab.errors import UserError
from deeplab.training.best import SCORE_FILE, BestCheckpoint
from deeplab.training.loop import EXIT_STOPPED, TrainingLoop
from deeplab.training.stop_signal import StopSignal
from helpers import tiny_training


class Steps:
    """A `StepRunner` and its step; it only counts, and sends itself `signals` while it takes step `at`."""

    def __init__(self, config, at=None, signals=(), loss=1.0):
        self.step, self.config, self.at, self.signals, self.count, self.loss = self, config, at, signals, 0, loss

    def updates(self):
        return self.count

    def run(self, count):
        for _ in range(count):
            self.count += 1
            for number in self.signals if self.count == self.at else ():
                os.kill(os.getpid(), number)
        return {"loss": self.loss}

    def in_any_process(self, flag):
        return flag

    def can_go_on(self, results):
        return math.isfinite(results["loss"])


class Told:
    """A `Progress` and `Checkpoints` that keep what they are told in lists."""

    def __init__(self, folder="log"):
        self.lines, self.saved, self.folder = [], [], folder

    def say(self, line):
        self.lines.append(line)

    def after(self, *_):
        pass

    note = after

    def save(self):
        self.saved.append("here")

    def latest(self):
        return self.saved[-1] if self.saved else None

    def path(self, name):
        return os.path.join(self.folder, name)


def loop(steps=20, told=None, **options):
    schedule = ScheduleConfig(training_number_of_steps=steps)
    config = tiny_training.config(schedule=schedule, train_logdir="log", run=RunConfig(log_steps=4))
    told = told or Told()
    return TrainingLoop(Steps(config, **options), told, told, lambda step: ["name"]), told


def wait_for(text, capsys):
    """Returns what was printed once `text` is among it: a thread prints it."""
    printed, end = "", time.monotonic() + 30
    while text not in printed and time.monotonic() < end:
        time.sleep(0.01)
        printed += capsys.readouterr().out
    return printed


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_sigterm_saves_and_ends_with_its_exit_code(capsys):
    before = handlers()
    training, told = loop(at=6, signals=[signal.SIGTERM])
    assert training.train() == EXIT_STOPPED
    assert (training.runner.count, told.saved) == (8, ["here"])
    assert told.lines[-1] == "Stopped after step 8 of 20, which is saved; the same command goes on from there"
    assert "SIGTERM: the training is saved and ends, at step 8 at the latest\n" in wait_for("SIGTERM", capsys)
    assert handlers() == before


def test_ctrl_c_saves_and_ends_as_programs_that_are_interrupted(capsys):
    before = handlers()
    training, told = loop(at=6, signals=[signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        training.train()
    assert (training.runner.count, told.saved) == (8, ["here"])
    assert "the same command goes on" in told.lines[-1]
    assert "Ctrl-C again ends it without saving" in wait_for("Ctrl-C", capsys)
    assert handlers() == before


def test_a_second_ctrl_c_does_not_wait_for_the_save():
    before = handlers()
    training, told = loop(at=6, signals=[signal.SIGINT, signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        training.train()
    assert (training.runner.count, told.saved) == (6, [])
    assert handlers() == before


COMPUTES = """import hashlib, sys
from deeplab.training.stop_signal import StopSignal
with StopSignal():
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in which Python cannot run the handler of a signal
"""


def test_a_second_ctrl_c_ends_what_python_cannot_interrupt():
    with subprocess.Popen([sys.executable, "-c", COMPUTES], stdout=subprocess.PIPE, text=True) as process:
        for line, answer in (("begun", None), ("Ctrl-C: ", None), ("Ctrl-C again", 130)):
            assert process.stdout.readline().startswith(line)
            if answer is None:
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == answer


def test_a_signal_at_the_last_step_is_no_stop():
    training, told = loop(at=20, signals=[signal.SIGINT])
    assert training.train() is None
    assert not [line for line in told.lines if "Stopped" in line]


def test_ctrl_c_stays_ignored_where_it_was():
    """A shell script starts programs in the background so: Ctrl-C is for the script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        training, _told = loop(at=6, signals=[signal.SIGINT])
        assert training.train() is None
        assert training.runner.count == 20
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_the_main_thread_nothing_is_caught():
    before, caught = handlers(), []

    def use():
        with StopSignal():
            caught.append(handlers())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught == [before]


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (20, "log has done all of its 20 steps; a larger --training_number_of_steps goes on"),
        (24, "log has done 24 steps, more than --training_number_of_steps=20: nothing is trained"),
    ],
)
def test_a_training_without_steps_to_take_says_so(done, said):
    training, told = loop()
    training.runner.count = done
    assert training.train() is None
    assert not told.saved
    (line,) = told.lines
    assert line.startswith(said)


def test_early_stopping_says_why_and_what_the_same_command_does(tmp_path):
    (tmp_path / SCORE_FILE).write_text(json.dumps({"mean_iou": 0.51234, "step": 10}))
    training, told = loop()
    best = types.SimpleNamespace(folder=str(tmp_path), path=lambda name: str(tmp_path / name))
    training.best = BestCheckpoint(best, lambda: {"mean_iou": 0.4}, told, patience_steps=10)
    training.runner.count = 20
    training.runner.config = tiny_training.config(run=RunConfig(log_steps=4, eval_interval_steps=4, patience=2))
    for _ in range(2):  # the same command again
        assert training.train() is None
        assert (
            "Stopped early after step 20: no mIoU was above 0.5123, that of step 10, in the last 10 steps"
            in told.lines[-1]
        )
        assert "The same command trains no further; a larger --patience goes on" in told.lines[-1]
    assert training.runner.count == 20


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ([], "the same command takes a lower --base_learning_rate"),
        (["model.ckpt-4"], "--tf_initial_checkpoint=model.ckpt-4"),
    ],
)
def test_a_loss_that_is_not_finite_says_which_way_out_there_is(saved, said):
    training, told = loop(loss=float("nan"))
    told.saved += saved
    with pytest.raises(UserError, match=said):
        training.train()
