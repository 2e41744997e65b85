"""docs/gpu.md: its commands parse, its parts are those of the check, and the script for several GPUs trains.

No GPU is here. nvidia-smi is a stub, and the training runs on two logical devices of the CPU.
"""

import importlib
import os
import re
import shlex
import subprocess

import pytest
from absl import flags

from deeplab import cli
from helpers import fake_data, readme_commands
from helpers.places import ROOT
from helpers.programs import CONFIG_OF

PAGE = (ROOT / "docs" / "gpu.md").read_text("utf-8")
COMMANDS = [line for block in readme_commands.blocks(PAGE) for line in block.lines]
PYTHON = [line for line in COMMANDS if line.startswith("python -m deeplab.")]
CHECKS = [line for line in COMMANDS if line.startswith("bash scripts/gpu_check.sh")]
SEVERAL = [line for line in COMMANDS if line.endswith("bash scripts/multi_gpu.sh")]


def read(program, words):
    module, name = CONFIG_OF[program]
    return cli.read(getattr(importlib.import_module(module), name), [program, *words], flags.FlagValues())


def multi_gpu(folder, gpus, command="bash scripts/multi_gpu.sh", **environment):
    """Runs the script with `gpus` GPUs in nvidia-smi and a python that only writes what it is told; returns both."""
    (folder / "bin").mkdir()
    for name, text in (("nvidia-smi", f"seq {gpus}"), ("python", 'echo "$CUDA_VISIBLE_DEVICES"; printf "%s\\n" "$@"')):
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**inherited, "PATH": path, "DATA": "SHARDS", "LOGDIR": "LOGDIR", **environment}
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    _said, visible, _m, _module, *words = done.stdout.splitlines() or [""] * 4
    return done, visible, words


def test_every_command_is_of_a_known_kind():
    assert sorted(COMMANDS) == sorted([*PYTHON, *CHECKS, *SEVERAL, 'pip install ".[gpu]"'])
    assert CHECKS
    assert SEVERAL


@pytest.mark.parametrize("command", PYTHON)
def test_flags_parse(command):
    program, *words = shlex.split(command.removeprefix("python -m deeplab."))
    assert read(program, words)


@pytest.mark.parametrize("command", CHECKS)
def test_options_of_the_check_parse(command, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    assert importlib.import_module("gpu_check.options").read(shlex.split(command)[2:])


def test_the_table_names_the_parts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    parts = importlib.import_module("gpu_check.parts").PARTS
    table = PAGE.partition("| part | what it tells |")[2].partition("\n\n")[0]
    assert re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))) == list(parts)


@pytest.mark.parametrize(
    ("gpus", "options", "expected"),
    [
        (1, {}, (16, 0.007, 30000, 0, "")),
        (4, {}, (64, 0.028, 7500, 500, "0,1,2,3")),
        (8, {"GPUS": "3"}, (48, 0.021, 10000, 500, "0,1,2")),
        (2, {"CUDA_VISIBLE_DEVICES": "5,7"}, (32, 0.014, 15000, 500, "5,7")),
    ],
)
def test_batch_and_rate_follow_the_number_of_gpus(gpus, options, expected, tmp_path):
    done, visible, words = multi_gpu(tmp_path, gpus, **options)
    assert done.returncode == 0, done.stderr
    config = read("train", words)
    schedule = config.schedule
    rate = pytest.approx(expected[1])
    assert (config.train_batch_size, schedule.base_learning_rate) == (expected[0], rate)
    assert (schedule.training_number_of_steps, schedule.slow_start_step, visible) == expected[2:]
    assert (config.dataset_dir, config.train_logdir, config.run.mixed_precision) == ("SHARDS", "LOGDIR", "bfloat16")


@pytest.mark.parametrize("command", SEVERAL)
def test_the_commands_of_the_page(command, tmp_path):
    done, _visible, words = multi_gpu(tmp_path, 8, command)
    assert done.returncode == 0, done.stderr
    assert read("train", words).dataset_dir == "SHARDS"


@pytest.mark.parametrize(
    ("gpus", "options", "told"),
    [
        (0, {}, "error: nvidia-smi lists no GPU; GPUS=NUMBER says how many to use"),
        (2, {"RECIPE": "half.flags"}, "error: half.flags: expected a line --training_number_of_steps=VALUE"),
    ],
)
def test_mistakes_are_told_in_one_line(gpus, options, told, tmp_path):
    (tmp_path / "half.flags").write_text("--train_batch_size=8\n--base_learning_rate=0.1\n")
    command = f"cd {tmp_path} && bash {ROOT}/scripts/multi_gpu.sh"
    done, _visible, words = multi_gpu(tmp_path, gpus, command, **options)
    assert done.returncode == 2
    assert not words
    assert told in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet", "quick_tracing")
def test_the_training_of_two_devices_runs(tmp_path):
    """What the script says for two GPUs, here on the two logical devices of the tests, with small crops."""
    shards = fake_data.shards(tmp_path, {"train_aug": 4}, num_classes=21)
    options = {"DATA": shards, "LOGDIR": str(tmp_path / "run"), "RECIPE": "scripts/recipes/voc_mobilenet_v2.flags"}
    _done, _visible, words = multi_gpu(tmp_path, 2, **options)
    less = ["--train_batch_size=2", "--train_crop_size=33,33", "--training_number_of_steps=2", "--log_steps=1"]
    more = ["--distribution_strategy=mirrored", "--dataset=", "--slow_start_step=1", "--nosave_summaries_images"]
    told = readme_commands.run_program("train", *words, *less, *more)
    assert "step 2/2" in told
    assert (tmp_path / "run" / "model.ckpt-2.index").exists()
