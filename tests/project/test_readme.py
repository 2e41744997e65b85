"""README: every line of its command blocks is claimed by exactly one way of being run, and run; it cannot drift.

Commands run as they stand, in a folder where the files that they name exist (`readme_commands.Workspace`). Not run
here: `pip install`, whose extra must be one of setup.py's, and what `ELSEWHERE` says.
"""

import re
import shlex

import pytest

from helpers import readme_commands
from helpers.places import ROOT
from helpers.programs import CONFIG_OF

README = (ROOT / "README.md").read_text("utf-8")
OURS = re.sub(r"## Coming from the original\n.*?\n## ", "", README, flags=re.DOTALL)  # that names its files, too
BLOCKS = readme_commands.blocks(README)
COMMANDS = [line for block in BLOCKS if block.kind == "shell" for line in block.lines]
FIRST = "I have images and masks"  # trains and exports what the others use
OTHERS = [section for section in dict.fromkeys(block.section for block in BLOCKS) if section != FIRST]
ELSEWHERE = {  # what no test can run inside of itself: the file that runs it, and the text there
    "bash scripts/quickstart.sh": ("tests/project/test_scripts.py", '"scripts/quickstart.sh"'),
    "bash scripts/test.sh": (".ci/run", "bash scripts/test.sh"),
    "source .venv/bin/activate": ("scripts/environment.sh", "-m venv --clear .venv"),
}
INSTALL = r'pip install "\.\[(\w+)\]"'
CLAIMS = {  # way of being run: does it claim this line?
    "elsewhere": lambda line: line.partition("  #")[0].rstrip() in ELSEWHERE,
    "the extra exists": lambda line: bool(re.fullmatch(INSTALL, line)),
    "in this process": readme_commands.is_python,
    "a server": lambda line: line.startswith(readme_commands.SERVE),
    "in bash, to that server": readme_commands.is_request,
}
pytestmark = pytest.mark.usefixtures("shortest_mobilenet", "quick_tracing")


@pytest.mark.parametrize("line", COMMANDS)
def test_each_line_is_claimed_once(line):
    assert len([way for way, claims in CLAIMS.items() if claims(line)]) == 1


def test_all_blocks_are_found():
    """None hides from `blocks`: every line that names a program, whatever stands before it, is in one."""
    assert {block.kind for block in BLOCKS} == {"shell", "python", "text"}
    begun = re.findall(r"^(?:\s+|```.*\n|\$ )(?:python|deeplab|bash|pip|curl|export|[A-Z_]+=).*$", README, re.MULTILINE)
    assert len(begun) <= len(COMMANDS)
    programs = {shlex.split(line)[2] for line in COMMANDS if line.startswith("python -m")}
    assert programs == {
        f"deeplab.{program}" for program in CONFIG_OF if program != "data_service"
    }  # see --data_service


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_runs_elsewhere_is_there(command):
    path, text = ELSEWHERE[command]
    assert command in [line.partition("  #")[0].rstrip() for line in COMMANDS]
    assert text in (ROOT / path).read_text("utf-8")


def test_extras_exist():
    extras = (ROOT / "setup.py").read_text("utf-8").partition("EXTRAS = {")[2].partition("\n}")[0]
    named = [match[1] for match in (re.fullmatch(INSTALL, line) for line in COMMANDS) if match]
    assert named
    assert set(named) <= set(re.findall(r'^    "(\w+)":', extras, re.MULTILINE))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?:scripts|datasets|tests)/[\w/]+\.\w+", OURS))))
def test_named_files_exist(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("said", readme_commands.INSTEAD)
def test_what_stands_instead_is_said(said):
    assert said in README


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, shortest_mobilenet, quick_tracing):
    """The folder, with the results of the first section."""
    made = readme_commands.Workspace(tmp_path_factory.mktemp("readme"))
    made.run_blocks([block for block in BLOCKS if block.section == FIRST])
    return made


@pytest.mark.slow
def test_from_images_and_masks_to_predictions(workspace):
    names = {path.stem for path in (workspace.folder / "IMAGES").iterdir()}
    found = {path.name for path in (workspace.folder / "PREDICTIONS").glob("*_overlay.png")}
    assert found == {f"{name}_overlay.png" for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("section", OTHERS)
def test_section_runs_and_prints_what_it_says(workspace, section):
    workspace.run_blocks([block for block in BLOCKS if block.section == section])
