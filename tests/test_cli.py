"""The command line: one flag per field, in the reference's syntax; mistakes end with one line and exit code 2."""

import importlib
import subprocess
import sys

import pytest
from absl import flags

from deeplab import cli
from deeplab.errors import UserError
from helpers.options import Inner, Outer
from helpers.places import ROOT
from helpers.programs import CONFIG_OF


def read(*arguments):
    return cli.read(Outer, ["program", *arguments], flags.FlagValues())


def test_defaults_are_those_of_the_dataclass():
    assert read() == Outer()


@pytest.mark.parametrize(
    ("argument", "field", "value"),
    [
        ("--folder=/data", "folder", "/data"),
        ("--folder=", "folder", None),
        ("--steps=3", "steps", 3),
        ("--rate=1e-3", "rate", 1e-3),
        ("--rate=2", "rate", 2.0),
        ("--noflip", "flip", False),
        ("--flip=false", "flip", False),
        ("--fast", "fast", True),
        ("--nofast", "fast", False),
        ("--fast=true", "fast", True),
        ("--fast=False", "fast", False),
        ("--fast=1", "fast", True),
        ("--fast=auto", "fast", "auto"),
        ("--scales=0.5,1,1.5", "scales", (0.5, 1.0, 1.5)),
        ("--depth=7", "inner", Inner(depth=7)),
        ("--rates=6,12", "changed", {"rates": (6, 12)}),
        ("--rates=", "changed", {"rates": ()}),
        ("--rates=auto", "changed", {"rates": "auto"}),
        ("--variant=large", "changed", {"variant": "large"}),
    ],
)
def test_one_flag(argument, field, value):
    assert getattr(read(argument), field) == value


def test_lists_are_given_with_commas_or_by_repeating():
    assert read("--rates=6", "--rates=12", "--rates=18").changed == read("--rates=6,12,18").changed


@pytest.mark.parametrize(
    ("given", "rates"), [(("6", "auto"), "auto"), (("6,12", "auto"), "auto"), (("auto", "3"), (3,)), (("auto", ""), ())]
)
def test_a_word_and_items_overrule_each_other(given, rates):
    assert read(*(f"--rates={text}" for text in given)).changed == {"rates": rates}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--stepz=3"], "stepz"),
        (["--steps=three"], "three"),
        (["--steps=0"], "steps=0: expected at least 1"),
        (["--flip", "false"], "'false' belongs to no flag"),
        (["--fast=maybe"], "expected true, false or auto"),
        (["--fast", "auto"], "'auto' belongs to no flag"),
        (["word"], "'word' belongs to no flag"),
        (["--old=1"], "--old does not exist any more: use --steps"),
        (["--hidden=2"], "hidden"),
        (["--variant=huge"], "huge"),
        (["--scales=1,x"], "scales"),
        (["--scales=auto"], "scales"),
        (["--rates=6,auto"], "rates"),
        (["--flagfile=/no/such/file.flags"], "/no/such/file.flags"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, told):
    with pytest.raises(UserError) as caught:
        read(*arguments)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_flagfile_with_comments_is_read_and_later_flags_win(tmp_path):
    recipe = tmp_path / "recipe.flags"
    recipe.write_text("# a recipe\n--steps=5\n\n--noflip\n--fast\n--scales=0.5,1\n")
    config = read(f"--flagfile={recipe}", "--steps=6")
    assert (config.steps, config.flip, config.fast, config.scales) == (6, False, True, (0.5, 1.0))
    assert read(f"--flagfile={recipe}", "--fast=auto").fast == "auto"


def test_a_switch_with_a_word_holds_nothing_else():
    with pytest.raises(UserError, match="fast='maybe': expected bool or auto"):
        Outer(fast="maybe")


@pytest.mark.parametrize("overruling", ["2", "2,3", "0.5,1", ""])
def test_a_list_on_the_command_line_overrules_that_of_the_flagfile(tmp_path, overruling):
    recipe = tmp_path / "recipe.flags"
    recipe.write_text("--scales=0.5,1\n")
    expected = tuple(float(item) for item in overruling.split(",") if item)
    assert read(f"--flagfile={recipe}", f"--scales={overruling}").scales == expected


def test_help_lists_every_flag_with_default_and_choices():
    page = cli.help_text(Outer, "What it does.")
    assert page.startswith("What it does.")
    flags_shown = ("--folder=STR", "--[no]flip\n", "--[no]fast[=auto]\n", "--scales=FLOAT,...", "--depth")
    for text in (*flags_shown, "(default 10)", "One of: small, large"):
        assert text in page
    assert "hidden" not in page


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("open('/no/such/file')", marks=pytest.mark.slow),
        "import tensorflow as tf; tf.io.gfile.GFile('/no/such/file').read()",
        pytest.param("import tensorflow as tf; tf.io.gfile.exists('s3://no/such/file')", marks=pytest.mark.slow),
        pytest.param("from deeplab.errors import UserError; raise UserError('/no/such/file')", marks=pytest.mark.slow),
    ],
)
def test_files_that_cannot_be_read_end_with_one_line(code):
    start = "import sys; sys.path.insert(0, 'tests')\nfrom deeplab import cli\nfrom helpers.options import Outer"
    done = _run("-c", f"{start}\ndef go(config):\n    {code}\ncli.main(go, Outer, ['program'])")
    assert done.returncode == cli.EXIT_BAD_INPUT
    assert done.stderr.startswith("error: ")
    assert "/no/such/file" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _run(*command):
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("program", CONFIG_OF)
def test_help_of_every_entry_point_comes_without_tensorflow(program):
    code = (
        f"import sys, atexit; atexit.register(lambda: print('tensorflow' in sys.modules, file=sys.stderr)); "
        f"sys.argv = ['{program}', '--help']; from deeplab import {program}; {program}.main()"
    )
    done = _run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == ["False"]
    module, name = CONFIG_OF[program]
    for field, _, _ in cli.all_fields(getattr(importlib.import_module(module), name)):
        assert f"--{field.name}" in done.stdout or f"--[no]{field.name}" in done.stdout


def test_help_may_be_read_in_part():
    """`--help | head -1`: the pipe is closed before the page is written."""
    with subprocess.Popen(
        [sys.executable, "-m", "deeplab.train", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        program.stdout.close()
        errors = program.stderr.read()
    assert (program.returncode, errors) == (0, b"")


@pytest.mark.parametrize("program", CONFIG_OF)
def test_help_has_every_heading_once(program):
    module, name = CONFIG_OF[program]
    config_class = getattr(importlib.import_module(module), name)
    headings = {owner.__doc__.strip().splitlines()[0] for _field, owner, _optional in cli.all_fields(config_class)}
    lines = cli.help_text(config_class, "What it does.").splitlines()
    assert [lines.count(heading) for heading in headings] == [1] * len(headings)


@pytest.mark.parametrize("program", CONFIG_OF)
def test_entry_points_refuse_unknown_flags_with_one_line(program):
    done = _run("-m", f"deeplab.{program}", "--nonsense=1")
    assert done.returncode == cli.EXIT_BAD_INPUT
    assert done.stderr.startswith("error: ")
    assert "nonsense" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", sorted(path.name for path in (ROOT / "datasets").glob("*.py")))
def test_help_of_every_dataset_script(script):
    done = _run(f"datasets/{script}", "--help")
    assert done.returncode == 0, done.stderr
    assert "_dir=STR" in done.stdout


def test_a_flag_file_that_is_no_flag_file_is_one_line(tmp_path):
    for content in (b"--n" + bytes(4000) + b"=3\n", b"\xff\xfe", b"--steps=" + b"9" * 5000, b"words\n"):
        (tmp_path / "flags.txt").write_bytes(content)
        with pytest.raises(UserError, match=r"^[^\n]+$"):
            cli.read(Outer, ["program", f"--flagfile={tmp_path / 'flags.txt'}"], flags.FlagValues())
