"""One process at a time in a folder; the other is told which, and a dead process keeps nobody out."""

import os
import signal
import subprocess
import sys

import pytest

from deeplab.errors import UserError
from deeplab.files import locks
from helpers.places import ROOT

TAKE = """
import sys
from deeplab.files import locks
locks.take(sys.argv[1], "train_logdir", "trains")
print("taken", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    """Another process, which has taken the folder tmp_path / "log"."""
    command = [sys.executable, "-c", TAKE, str(tmp_path / "log")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes) as process:
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


def test_the_owner_is_named_until_it_is_killed(tmp_path, owner):
    folder = str(tmp_path / "log")
    message = f"train_logdir={folder}: process {owner.pid} trains there now; wait for it, end it, or choose another"
    for _ in range(2):
        with pytest.raises(UserError, match=message):
            locks.take(folder, "train_logdir", "trains")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    locks.take(folder, "train_logdir", "trains")
    assert (tmp_path / "log" / "lock").read_text() == str(os.getpid())
    locks.release(folder)


def test_a_folder_is_taken_once_and_released(tmp_path):
    folder = str(tmp_path)
    for _ in range(2):
        locks.take(folder, "train_logdir", "trains")
        locks.take(folder, "train_logdir", "trains")
        locks.release(folder)
        locks.release(folder)
    locks.take("gs://far", "train_logdir", "trains")


def test_both_kinds_of_lock_are_independent(tmp_path):
    """A training and a builder may use one folder; the train_logdir may hold the exports."""
    locks.take(str(tmp_path), "train_logdir", "trains")
    with locks.hold(str(tmp_path), "output_dir"):
        assert (tmp_path / "lock").exists()
    locks.release(str(tmp_path))


@pytest.mark.parametrize("missing", [True, False])
def test_systems_without_locks_are_served(tmp_path, monkeypatch, missing):
    """Windows has no `fcntl`, and some network file systems refuse to lock."""

    def unsupported(*_arguments):
        raise OSError(95, "Operation not supported")

    if missing:
        monkeypatch.setattr(locks, "fcntl", None)
    else:
        monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    locks.take(str(tmp_path), "train_logdir", "trains")
    with locks.hold(str(tmp_path), "output_dir"), locks.hold(str(tmp_path), "output_dir"):
        assert tmp_path.exists()
    locks.release(str(tmp_path))


def test_a_process_waits_for_its_turn(tmp_path):
    """What eval does, whose results are written in a moment."""
    import threading

    held, given = threading.Event(), []

    def first():
        with locks.hold(str(tmp_path), "eval_logdir"):
            held.set()
            given.append("first")
            threading.Event().wait(0.3)

    thread = threading.Thread(target=first)
    thread.start()
    held.wait(10)
    with pytest.raises(UserError, match="another process writes"), locks.hold(str(tmp_path), "eval_logdir"):
        pass
    with locks.hold(str(tmp_path), "eval_logdir", wait_seconds=30):
        given.append("second")
    thread.join()
    assert given == ["first", "second"]
