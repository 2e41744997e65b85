"""`deeplab build`: words that are builders, words that are folders, and words that are neither."""

import os
import re
import subprocess
import sys

import pytest

from deeplab.programs.builders import command
from helpers import fake_data
from helpers.places import ROOT


def run(*words, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "deeplab", "build", *words],
        cwd=cwd, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


def test_page_names_every_builder_with_one_line():
    page = run("--help").stdout
    assert page == run().stdout
    for name in command.BUILDERS:
        assert re.search(rf"^  {name} +[A-Z][^\n]+\.$", page, re.MULTILINE), name


def test_page_imports_neither_absl_nor_tensorflow():
    code = (
        "import sys; from deeplab.programs.builders import command; command.page();"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'absl', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["voc2021"], "'voc2021' is no builder and no folder; did you mean voc2012?"),
        (["./camvid"], "'./camvid' is no builder and no folder"),
        (["zzqy"], "the builders are voc2012, "),
        (["--num_classes=3"], "--num_classes=3: expected a builder before its flags"),
        (["camvid", "--data_root=x"], "--data_root is no flag of this program"),
    ],
)
def test_mistakes_take_one_line_and_say_what_was_meant(words, told, tmp_path):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line


@pytest.mark.slow
def test_a_builder_goes_before_a_folder_of_its_name(tmp_path):
    for i in range(2):
        fake_data.save(fake_data.image(16, 16, seed=i), tmp_path / "camvid" / "images" / f"{i}.png")
        fake_data.save(fake_data.label(16, 16, num_classes=3, seed=i), tmp_path / "camvid" / "labels" / f"{i}.png")
    done = run("camvid", "--output_dir=shards", cwd=tmp_path)
    assert done.returncode == 2
    assert "--camvid_root=./camvid: expected images/train" in done.stderr
    done = run("./camvid", "--output_dir=shards", "--num_classes=3", "--num_workers=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "shards" / "dataset.json").exists()
