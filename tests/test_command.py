"""The command `deeplab`: every program by a word, a page of all of them, and mistyped words."""

import ast
import importlib
import os
import re
import subprocess
import sys

import pytest

import deeplab
from deeplab import __main__ as command
from deeplab import cli
from deeplab.programs.builders import command as builders
from helpers.places import ROOT
from helpers.programs import BUILDERS, CONFIG_OF

HINT = re.compile(r"""pip install[^\n]*?["' ](deeplab(?:v3plus)?)(?:\[|["' ]|$)""", re.MULTILINE)


def run(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "deeplab", *words], capture_output=True, text=True, env=environment, check=False
    )


def test_page_names_every_program_with_one_line():
    page = run("--help")
    assert page.returncode == 0
    assert page.stdout == run().stdout
    for name in (*command._PROGRAMS, "version"):
        assert re.search(rf"^  {name} +[A-Z][^\n]+\.$", page.stdout, re.MULTILINE), name
    assert set(command._PROGRAMS.values()) >= set(CONFIG_OF)
    assert max(map(len, page.stdout.splitlines())) <= 130


def test_page_imports_neither_absl_nor_tensorflow():
    code = (
        "import sys; sys.argv = ['deeplab', '--help']; from deeplab.__main__ import main; main();"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'absl', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", command._PROGRAMS)
def test_every_command_answers_help(name):
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("program", [*CONFIG_OF, *BUILDERS])
def test_every_flag_has_a_description(program):
    module, name = {**CONFIG_OF, **BUILDERS}[program]
    config_class = getattr(importlib.import_module(module), name)
    page = cli.help_text(config_class, "What it does.")
    for field, _owner, _optional in cli.all_fields(config_class):
        entry = re.search(rf"^  --(?:\[no\])?{field.name}\b.*\n((?:      .*\n?)+)", page, re.MULTILINE)
        assert entry, field.name
        said = re.sub(r"\(default.*|One of: .*", "", " ".join(entry[1].split()), flags=re.DOTALL)
        assert re.match(r"\S", said), field.name
        assert len(said.split()) > 1, f"{field.name}: {said}"


def test_every_command_has_a_configuration_whose_flags_are_tested():
    """A row of the table that is no program of `CONFIG_OF` or `BUILDERS` would have a page that nobody looks at."""
    modules = {module for module, _name in BUILDERS.values()} | {builders.__name__}
    for module in command._PROGRAMS.values():
        assert module in CONFIG_OF or f"deeplab.{module}" in modules, module


@pytest.mark.parametrize("name", ["train", "data-service"])
def test_command_is_the_program(name):
    module = command._PROGRAMS[name]
    alone = subprocess.run(
        [sys.executable, "-m", f"deeplab.{module}", "--help"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert run(name, "--help").stdout == alone.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], "'trian' is no command of deeplab; did you mean train?"),
        (["evaluate"], "did you mean eval?"),
        (["zzqy"], "the commands are train, "),
        (["train", "--data_dir=x"], "--data_dir is no flag of this program; did you mean --dataset_dir?"),
        (["predict", "--zzqy=1"], "--zzqy is no flag of this program; --help lists all flags"),
        (["predict", "--preset=mobilenetv2_coco_voc_trainvl"], "mobilenetv2_coco_voc_trainval"),
    ],
)
def test_mistakes_take_one_line_and_say_what_was_meant(words, told):
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert told in line


def test_version():
    assert re.fullmatch(r"deeplab \d+\.\d+\.\d+, Python 3\.\d+\.\d+\n", run("version").stdout)


def test_nobody_is_told_to_install_this_project_from_an_index():
    """Its name there may be a stranger's: of 2017 for `deeplab`, anybody's for the name of the distribution."""
    files = [
        path
        for pattern in ("*.md", "*.py", "deeplab/**/*", "docs/**/*", "datasets/*", "scripts/**/*", "tests/**/*.py")
        for path in ROOT.glob(pattern)
        if path.is_file() and path.suffix in (".md", ".py", ".sh", ".ipynb", ".html", ".toml")
    ]
    assert len(files) > 200
    found = [(path, HINT.search(text)) for path in files if (text := path.read_text("utf-8")) and HINT.search(text)]
    assert not found
    assert HINT.search("pip install " + ".deeplab[serve].".replace(".", chr(34)))
    assert HINT.search("pip install " + deeplab.DISTRIBUTION)


def test_packages_that_are_named_are_those_of_the_extras():
    from deeplab import serve

    (extras,) = [
        ast.literal_eval(node.value)
        for node in ast.parse((ROOT / "setup.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "SERVE"
    ]
    assert list(serve._PACKAGES) == [re.match(r"[\w-]+", one)[0] for one in extras]
