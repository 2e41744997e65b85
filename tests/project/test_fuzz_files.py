"""Damaged files of every kind: each is read, or refused in one line."""

import subprocess
import sys

import pytest

from helpers.places import ROOT

SCRIPT = ROOT / "scripts" / "fuzz_files.py"


@pytest.fixture
def fuzzing(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from file_fuzzing import readers

    return readers


@pytest.mark.slow
def test_no_file_does_more_than_to_be_refused(fuzzing):
    """One percent of the usual number, and at least 50 of each kind, but none that needs TensorFlow in a child."""
    kinds = ",".join(kind for kind in fuzzing.KINDS if kind != "foreign")
    command = [sys.executable, SCRIPT, "--runs=200", "--seed=0", f"--kinds={kinds}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_the_undamaged_files_are_read(tmp_path):
    """In a process of its own, since what a long test run holds beside it counts towards the limit of memory."""
    (tmp_path / "samples").mkdir()
    code = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
from file_fuzzing import readers, samples
here = pathlib.Path(sys.argv[1])
samples.write(here / "samples")
for kind in sorted(set(readers.KINDS) - {"foreign"}):  # a child with TensorFlow; tests/inference/test_exports.py has it
    name = readers.KINDS[kind].files[0]
    content = (here / "samples" / kind / name).read_bytes()
    print(kind, *readers.attempt(here / "samples", here / "work", kind, name, content), file=sys.stderr)
"""
    command = [sys.executable, "-c", code, tmp_path, ROOT / "scripts"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    told = [line.strip() for line in done.stderr.splitlines()]
    assert len([line for line in told if line.endswith(" read")]) == 16, done.stderr[-3000:]


def test_a_worker_that_ends_is_counted_and_replaced(fuzzing, tmp_path):
    """A worker that knows four ways to end stands in for the readers."""
    from file_fuzzing import workers

    worker = tmp_path / "worker.py"
    worker.write_text(
        "import os, sys\n"
        "for line in sys.stdin:\n"
        "    kind, number = line.split()\n"
        "    os.abort() if number == '1' else print(kind, number, 'read', '', flush=True)\n"
    )
    found = workers.run(worker, [("a", 0), ("a", 1), ("b", 2)], tmp_path, tmp_path, 0, 1)
    assert [row[:3] for row in found] == [("a", 0, "read"), ("a", 1, "signal"), ("b", 2, "read")]
    lines = workers.table(found)
    assert lines[1].split() == ["a", "1", "0", "0", "1", "0", "0"]
    assert lines[-1].split() == ["all", "2", "0", "0", "1", "0", "0"]
