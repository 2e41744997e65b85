"""The plan of the house, read from the syntax trees: floors, rooms, doors, sizes.

DESIGN: imports point down only, imports inside functions included. CONTRIBUTING, "Where things are", draws the floors.
"""

import ast

import pytest

from deeplab.programs.builders import command
from helpers.places import ROOT

PACKAGE = ROOT / "deeplab"
DOORS = ("train", "eval", "vis", "predict", "export", "serve", "data_service", "benchmark", "models")
OTHER_PROGRAMS = [f"programs.builders.{name}" for name in (*command.BUILDERS, "check")]  # whose flags they read, too
# From the top down. A module may import from its own room and from rooms below.
ROOMS = (
    "__main__",  # opens the doors
    "doors",
    "programs",
    "benchmarks",
    "serving",
    "segmenting",
    "exporting",
    "keras",
    "evaluation",
    "inference",
    "training",
    "checkpoints",
    "model",
    "data",
    "layers",
    "pictures",
    "devices",
    "processor",
    "memory",
    "cli",
    "config",
    "files",
    "errors",
    "",  # deeplab/__init__.py, which imports nothing more until it is asked
    "registry",
)
MODEL_SIDE = ("model", "training", "checkpoints")
HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "tf_keras", "PIL", "scipy")
MAX_MODULES, MAX_FOLDERS = 20, 16  # of deeplab/ itself: what `ls` shows on one screen
MAX_MODULES_PER_FOLDER = 15
MAX_DOOR_LINES = 40
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 40
MAX_INNER_IMPORTS = (
    20  # of our own modules inside functions; the doors and builders, which defer TensorFlow, need one each
)


def module_name(path):
    """ "deeplab/data/catalog.py" -> "data.catalog", "deeplab/__init__.py" -> ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree, within=ast.walk):
    """Returns the absolute names that the nodes of `tree` import, e.g. "deeplab.data.catalog", "numpy"."""
    names = []
    for node in within(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def at_module_level(tree):
    """Yields the nodes that run when the module is imported: all but the bodies of functions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from at_module_level(node)


def inside_functions(tree):
    """Yields the nodes of the bodies of functions."""
    outside = set(map(id, at_module_level(tree)))
    for node in ast.walk(tree):
        if id(node) not in outside:
            yield node


def own_modules(tree, within=ast.walk):
    """Returns the modules of this package that `tree` imports, named as in MODULES."""
    names = set()
    for name in imported(tree, within):
        if name == "deeplab" or name.startswith("deeplab."):
            inside = name.removeprefix("deeplab").removeprefix(".")
            while inside and inside not in MODULES:
                inside = inside.rpartition(".")[0]  # "errors.UserError" -> "errors"
            names.add(inside)
    return names


def room(module):
    """Returns the room that a module lies in, one of ROOMS."""
    first = module.split(".")[0]
    return "doors" if first in DOORS else first


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    own = room(module)
    assert own in ROOMS, f"deeplab/{own} has no place in ROOMS: add it where it belongs"
    upward = [name for name in own_modules(MODULES[module]) if ROOMS.index(room(name)) < ROOMS.index(own)]
    assert not upward, f"{module} imports {upward} from above"


def test_imports_have_no_cycle():
    """Imports inside functions count: they are a cycle, too, only one that fails later."""
    graph = {module: own_modules(tree) - {module} for module, tree in MODULES.items()}
    while graph:
        leaves = [module for module, needs in graph.items() if not needs & graph.keys()]
        assert leaves, f"circular imports among {sorted(graph)}"
        for leaf in leaves:
            del graph[leaf]


@pytest.mark.parametrize("module", MODULES)
def test_data_and_model_side_do_not_meet(module):
    sides = {False: MODEL_SIDE, True: ("data",)}
    mine = [is_data for is_data, rooms in sides.items() if room(module) in rooms]
    for is_data in mine:
        crossing = [name for name in own_modules(MODULES[module]) if room(name) in sides[not is_data]]
        assert not crossing, f"{module} imports {crossing} across; the program passes plain values"


@pytest.mark.parametrize("module", MODULES)
def test_flags_stop_at_the_door(module):
    reads_flags = [n for n in imported(MODULES[module]) if n.startswith(("absl.flags", "absl.app", "argparse"))]
    assert not reads_flags or module == "cli"


@pytest.mark.parametrize("door", DOORS)
def test_a_door_is_thin_and_opens_one_room(door):
    """Help text and configuration, then one import of what does the work, which may import TensorFlow."""
    lines = (PACKAGE / f"{door}.py").read_text("utf-8").splitlines()
    assert len(lines) <= MAX_DOOR_LINES
    assert len(own_modules(MODULES[door], inside_functions)) == 1
    assert {room(name) for name in own_modules(MODULES[door], at_module_level)} <= {"cli", "config", "errors"}


def test_the_command_line_needs_no_tensorflow():
    """What an entry point imports before its flags are parsed, followed through the package."""
    programs = [name for name in MODULES if name.endswith(".command") or name in OTHER_PROGRAMS]
    reached, waiting = set(), [*DOORS, *programs, "__main__", ""]
    while waiting:
        module = waiting.pop()
        reached.add(module)
        heavy = [name for name in imported(MODULES[module], at_module_level) if name.split(".")[0] in HEAVY]
        assert not heavy, f"deeplab.{module} imports {heavy} before the flags are parsed"
        parents = {module.rpartition(".")[0]} if "." in module else set()
        waiting += (own_modules(MODULES[module], at_module_level) | parents) - reached


def test_few_imports_hide_inside_functions():
    hidden = [
        f"{module}: {name}"
        for module, tree in MODULES.items()
        for name in imported(tree, inside_functions)
        if name.startswith("deeplab")
    ]
    assert len(hidden) <= MAX_INNER_IMPORTS, "\n".join(hidden)


@pytest.mark.parametrize("module", MODULES)
def test_what_is_for_speed_alone_is_reached_through_the_layers(module):
    fast = [name for name in own_modules(MODULES[module]) if name.startswith("layers.fast_")]
    assert not fast or room(module) == "layers", f"{module} imports {fast}; the layers have public functions for it"


def test_the_hallway_fits_on_a_screen():
    modules = list(PACKAGE.glob("*.py"))
    folders = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(modules) <= MAX_MODULES
    assert len(folders) <= MAX_FOLDERS
    for folder in (path.parent for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE):
        inside = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(inside) <= MAX_MODULES_PER_FOLDER, f"{folder}: make a subfolder"


def test_every_folder_says_what_it_is_for():
    for name, tree in MODULES.items():
        assert ast.get_docstring(tree), f"{name} has no docstring"


def test_tests_lie_in_the_folders_of_what_they_test():
    """Beside them: helpers, goldens, and `project` for what is not in the package (documents, scripts, packaging)."""
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    for folder in folders - {".", "project"}:
        assert (PACKAGE / folder).is_dir(), f"tests/{folder} mirrors no folder of deeplab/"


def test_nobody_imports_the_dataset_scripts():
    assert not (ROOT / "datasets" / "__init__.py").exists()
    for module, tree in MODULES.items():
        assert not [n for n in imported(tree) if n.split(".")[0] == "datasets"], module


def _long_ones():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "datasets").glob("*.py"), *(ROOT / "scripts").glob("*/*.py")]:
        text = path.read_text("utf-8")
        name = str(path.relative_to(ROOT))
        if len(text.splitlines()) > MAX_FILE_LINES:
            yield f"{name}: {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    yield f"{name}:{node.name}: {length} lines"


def test_functions_and_files_stay_small():
    assert not list(_long_ones())
