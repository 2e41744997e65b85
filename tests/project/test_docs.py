"""The pages in docs/: the files that they name exist, and the commands of docs/benchmarks.md parse."""

import re
import shlex

import pytest
from absl import flags

from deeplab import cli
from deeplab.config.benchmark import BenchmarkConfig
from helpers.places import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
BENCHMARKS = re.findall(
    r"^    python -m deeplab\.benchmark (.*)$", (ROOT / "docs" / "benchmarks.md").read_text("utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page):
    named = re.findall(r"`((?:scripts|tests|deeplab|docs)/[\w/.]+)`", page.read_text("utf-8"))
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_every_part_of_benchmark_has_a_command():
    measured = {re.match(r"--(\w+)", command)[1] for command in BENCHMARKS}
    assert measured == {"export", "training", "programs", "input", "scaling", "startup"}


@pytest.mark.parametrize("command", BENCHMARKS)
def test_flags_of_benchmark_parse(command):
    cli.read(BenchmarkConfig, ["benchmark", *shlex.split(command)], flags.FlagValues())
