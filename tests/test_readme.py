"""README's commands: every one parses, and those of a newcomer run in order, on a small data set with few steps."""

import importlib
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags
from test_cli import CONFIG_OF

from deeplab import cli

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
OURS = re.sub(r"## Coming from the original\n.*?\n## ", "", README, flags=re.DOTALL)  # that names its files, too
QUICK = {  # what README says: what is run instead, only to take less time
    "--train_crop_size=321,321": "--train_crop_size=65,65 --train_batch_size=2",
    "--training_number_of_steps=1000": "--training_number_of_steps=2",
}
SERVER = {"serve": ("deeplab.config.serve", "ServeConfig")}


def commands(text):
    """Returns the commands of all indented blocks, continued lines joined, without comments."""
    lines = [line[4:] for line in text.replace("\\\n", "").splitlines() if re.match(r"    \S", line)]
    return [" ".join(shlex.split(line, comments=True)) for line in lines if re.match(r"(python|bash) ", line)]


def programs(text):
    """Returns [(program, flags)] of the commands `python -m deeplab.PROGRAM`."""
    found = [re.match(r"python -m deeplab\.(\w+) ?(.*)", command) for command in commands(text)]
    return [match.groups() for match in found if match]


@pytest.mark.parametrize(("program", "arguments"), programs(README))
def test_flags_parse(program, arguments):
    module, name = (CONFIG_OF | SERVER)[program]
    arguments = arguments.removesuffix(" ...").split()
    arguments += ["--train_logdir=d", "--dataset_dir=d"] if program == "train" else []
    assert cli.read(getattr(importlib.import_module(module), name), [program, *arguments], flags.FlagValues())


def test_all_kinds_of_commands_are_found():
    assert {program for program, _flags in programs(README)} == set(CONFIG_OF | SERVER)
    assert len(commands(README)) > 20


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:scripts|datasets|tests)/\w+\.(?:py|sh|ipynb)", OURS))))
def test_named_files_exist(path):
    assert (ROOT / path).is_file()


@pytest.mark.slow
def test_from_images_and_masks_to_predictions(tmp_path):
    run("python datasets/draw_shapes.py --train_images=3 --val_images=1 --size=48,64 --output_dir=IMAGES/..", tmp_path)
    section = README.partition("## I have images and masks\n")[2].partition("\n#")[0]
    for command in commands(section):
        run(command, tmp_path)
    names = {path.stem for path in (tmp_path / "drawn/images").iterdir()}
    assert {path.name for path in (tmp_path / "PREDICTIONS").glob("*_overlay.png")} == {
        f"{n}_overlay.png" for n in names
    }


def run(command, folder):
    """Runs one of README's commands with its names in capitals and its lists below `folder`."""
    for said, instead in QUICK.items():
        command = command.replace(said, instead)
    places = {
        "IMAGES": "drawn/images",
        "LABELS": "drawn/labels",
        "train.txt": "drawn/train.txt",
        "val.txt": "drawn/val.txt",
    }
    places |= {name: name for name in ("SHARDS", "LOGDIR", "EXPORT", "PREDICTIONS")}
    for name, place in places.items():
        command = re.sub(rf"(?<=[=,]){re.escape(name)}\b", str(folder / place), command)
    (folder / "drawn/images").mkdir(parents=True, exist_ok=True)
    arguments = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
