"""The page on several machines and TPUs: its commands parse or run, its sums are right, its scripts say what they said.

A TPU, gcloud and a second machine are not here: gcloud is a stub that writes down what it is told, and the commands of
two machines run as two processes of this one.
"""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags

import deeplab
from deeplab import cli
from helpers import fake_data, readme_commands
from helpers.places import ROOT
from helpers.ports import free_ports
from helpers.programs import CONFIG_OF

FOLDER = ROOT / "scripts" / "tpu"
PAGE = (FOLDER / "README.md").read_text("utf-8")
BLOCKS = readme_commands.blocks(PAGE)
COMMANDS = [line for block in BLOCKS for line in block.lines]
PROGRAMS = CONFIG_OF | {"data_service": ("deeplab.data_service", "DataServiceConfig")}
PYTHON = [line for line in COMMANDS if line.startswith("python ")]
SCRIPTS = [line for line in COMMANDS if "bash scripts/" in line]
FORMULAS = [line for line in COMMANDS if re.match(r"\w+ +=", line)]
MACHINES = [line for line in COMMANDS if line.startswith("export TF_CONFIG=")]
LOOP = [line for line in COMMANDS if line.startswith("until ")]


def parse(command):
    program, *arguments = shlex.split(command.removeprefix("python -m deeplab."))
    module, name = PROGRAMS[program]
    return cli.read(getattr(importlib.import_module(module), name), [program, *arguments], flags.FlagValues())


def test_every_line_is_of_a_known_kind():
    assert sorted(COMMANDS) == sorted(PYTHON + SCRIPTS + FORMULAS + MACHINES + LOOP)


@pytest.mark.parametrize("command", PYTHON)
def test_flags_parse(command):
    assert parse(command)


def test_what_a_run_costs():
    rows = re.findall(rf"^\| `(\w+\.flags)`, (\d+)x(\d+)(.*?) \|{'(.*?)[|]' * 5}$", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for recipe, height, width, of, billions, work, operations, hours, dollars in rows:
        published = next(m for m in deeplab.MODELS.values() if m.recipe == recipe and m.multiply_adds and m.miou > 75)
        assert published.multiply_adds == float(billions.split()[0])
        share = int(height) * int(width) / (published.crop_size[0] * published.crop_size[1])
        assert (share == 1) == (not of)
        train = ["train", f"--flagfile={ROOT}/scripts/recipes/{recipe}", "--dataset_dir=d", "--train_logdir=d"]
        config = cli.read(importlib.import_module(PROGRAMS["train"][0]).TrainConfig, train, flags.FlagValues())
        said = [int(number.replace(",", "")) for number in work.split(" x ")]
        assert said == [config.train_batch_size, config.schedule.training_number_of_steps]
        assert config.train_crop_size == (int(height), int(width))
        needed = 6 * published.multiply_adds * 1e9 * share * said[0] * said[1]
        seconds = needed / (8 * 197e12 * 0.05)
        assert float(operations) == pytest.approx(needed, rel=0.03)
        assert float(hours) == pytest.approx(seconds / 3600, abs=0.005)
        assert float(dollars) == pytest.approx(seconds / 3600 * 8 * 1.2, abs=0.05)


def stub(folder, name, script):
    """Puts a program `name` in front of all others; returns the environment that finds it."""
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{path.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("command", [line for line in SCRIPTS if "create.sh" in line or "train.sh" in line])
def test_scripts_tell_gcloud(command, tmp_path):
    environment = stub(tmp_path, "git", "") and stub(tmp_path, "gcloud", f'printf "%s\\n" "$@" >> {tmp_path}/told')
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = (tmp_path / "told").read_text()
    if "create.sh" in command:
        assert "create\ndeeplab\n--zone=us-central1-a\n--accelerator-type=v5litepod-8\n" in told
        assert ".venv/bin/pip install '.[tpu]'" in told
    else:
        (line,) = re.findall(r"\.venv/bin/(python -m deeplab\.train (?:.*\\\n)*.*)", told)
        config = parse(line.replace("\\\n", " "))
        assert (config.dataset_dir, config.train_logdir) == ("gs://BUCKET/voc", "gs://BUCKET/run1")
        assert (config.train_batch_size, config.run.distribution_strategy) == (64, "tpu")


@pytest.mark.parametrize(("code", "calls"), [(75, 2), (137, 2), (2, 1), (130, 1)])
def test_the_loop_goes_on_unless_something_is_wrong(code, calls, tmp_path):
    log = tmp_path / "calls"
    environment = stub(tmp_path, "python", f"echo >> {log}; [ $(wc -l < {log}) = 1 ] && exit {code}; exit 0")
    (line,) = LOOP
    subprocess.run(["bash", "-c", line.replace("sleep 30", "sleep 0")], env=environment, check=True, timeout=60)
    assert len(log.read_text().splitlines()) == calls


def test_the_machines_agree():
    settings = [json.loads(shlex.split(line)[1].removeprefix("TF_CONFIG=")) for line in MACHINES]
    assert settings[0]["cluster"] == settings[1]["cluster"]
    assert [one["task"] for one in settings] == [{"type": "worker", "index": index} for index in range(2)]


SHORT_TRAIN = """import sys
sys.path.insert(0, "tests")
from helpers.short_networks import shorten_mobilenet
shorten_mobilenet()
from deeplab import train
train.main()"""


@pytest.mark.slow
def test_two_machines(tmp_path):
    """Both commands run to the end, take part in each step, and the first writes the checkpoint."""
    shards = fake_data.shards(tmp_path, {"train": 4})
    (block,) = [block for block in BLOCKS if block.lines[0] == MACHINES[0]]
    assert [MACHINES[1], block.lines[1]] == list(BLOCKS[BLOCKS.index(block) + 1].lines)
    words = shlex.split(block.lines[1].replace("gs://BUCKET/shards", shards).replace("gs://BUCKET", str(tmp_path)))[3:]
    words += ["--train_batch_size=2", "--train_crop_size=33,33", "--training_number_of_steps=2", "--log_steps=1"]
    addresses = dict(zip(("host1:5000", "host2:5000"), (f"127.0.0.1:{port}" for port in free_ports(2)), strict=True))
    workers = []
    for line in MACHINES:
        setting = re.sub(r"host\d:5000", lambda match: addresses[match[0]], shlex.split(line)[1])
        name, _, value = setting.partition("=")
        command = [sys.executable, "-c", SHORT_TRAIN, *words]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        workers.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, name: value}, **output))
    try:
        told = [worker.communicate(timeout=300)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], told
    assert "step 2/2" in told[0]
    assert "step" not in told[1].replace("time step", "")
    assert (tmp_path / "run1" / "model.ckpt-2.index").exists()
