"""The layers of the code, read from its syntax trees: imports point down only, and some of them stay out of places."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "deeplab"
# From the top down; a module may import from its own row and from rows below. The longest matching name counts.
LAYERS = (
    ("train", "eval", "vis", "export", "predict", "benchmark", "data_service", "serve"),  # entry points
    ("programs",),
    (  # what entry points share
        *("serving", "evaluation.report", "exporting.signatures", "inference.exports", "benchmarks.published_costs"),
        *(
            "benchmarks.export",
            "benchmarks.input",
            "benchmarks.scaling",
            "benchmarks.startup",
            "benchmarks",
            "benchmarks.training",
        ),
        *(
            "benchmarks.timing",
            "exporting.warmup",
            "exporting",
            "exporting.model_card",
            "exporting.formats",
            "pictures.video",
            "inference.output_folder",
        ),
        *("evaluation.scoring", "evaluation.candidates", "evaluation.comparison"),
    ),
    (
        "evaluation",
        "evaluation.batches",
    ),
    ("inference.trained", "inference", "inference.predictor", "inference.tiles", "exporting.folding"),
    ("checkpoints", "training"),
    ("model", "model.network", "model.cost"),
    ("model.backbones", "model.heads", "model.blocks", "data", "pictures", "pictures.drawing", "evaluation.plots"),
    (
        *(
            "layers",
            "layers.basic",
            "layers.batch_norm",
            "layers.fast_batch_norm",
            "layers.fast_convolution",
            "training.losses",
            "evaluation.metrics",
            "training.schedules",
            "devices",
        ),
        *("evaluation.boundary", "data.augment", "data.tfrecord", "pictures.images"),
    ),
    ("layers.resize", "layers.replicas", "layers.weights"),
    ("data.catalog", "model.names", "model.atrous"),
    ("data.published_classes", "cli"),
    ("config", "config.presets"),
    # "" is deeplab/__init__.py, which imports nothing until it is asked
    ("errors", "files.locks", "files.quiet", "files.atomic", "benchmarks.own_process", "files", "files.paths", ""),
)
ENTRY_POINTS = LAYERS[0]
MODEL_SIDE = ("model", "training", "checkpoints")


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


def in_part(module, part):
    return module == part or module.startswith(part + ".") if part else module == ""


def row(module):
    """Returns the row of LAYERS that `module` stands in, 0 at the top."""
    matches = [(len(part), i) for i, parts in enumerate(LAYERS) for part in parts if in_part(module, part)]
    assert matches, f"deeplab/{module.replace('.', '/')}.py has no place in LAYERS: add it where it belongs"
    return max(matches)[1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    upward = [name for name in own_modules(MODULES[module]) if row(name) < row(module)]
    assert not upward, f"{module} imports {upward} from above"


def test_imports_have_no_cycle():
    """At module level; what a function imports when it is called (an optional heavy part) may point back."""
    graph = {module: own_modules(tree, at_module_level) - {module} for module, tree in MODULES.items()}
    while graph:
        leaves = [module for module, needs in graph.items() if not needs & graph.keys()]
        assert leaves, f"circular imports among {sorted(graph)}"
        for leaf in leaves:
            del graph[leaf]


@pytest.mark.parametrize("module", MODULES)
def test_data_and_model_side_do_not_meet(module):
    sides = {False: MODEL_SIDE, True: ("data",)}
    mine = [is_data for is_data, parts in sides.items() if any(in_part(module, part) for part in parts)]
    for is_data in mine:
        crossing = [n for n in own_modules(MODULES[module]) if any(in_part(n, part) for part in sides[not is_data])]
        assert not crossing, f"{module} imports {crossing} across; the entry point passes plain values"


@pytest.mark.parametrize("module", MODULES)
def test_flags_stop_at_the_door(module):
    reads_flags = [
        name for name in imported(MODULES[module]) if name.startswith(("absl.flags", "absl.app", "argparse"))
    ]
    assert not reads_flags or module == "cli" or module in ENTRY_POINTS


def test_the_command_line_needs_no_tensorflow():
    """What an entry point imports before its flags are parsed, followed through the package."""
    reached = set()
    waiting = [name for name in ENTRY_POINTS if name in MODULES] + [""]
    while waiting:
        module = waiting.pop()
        reached.add(module)
        heavy = [n for n in imported(MODULES[module], at_module_level) if n.split(".")[0] in HEAVY]
        assert not heavy, f"deeplab.{module} imports {heavy} before the flags are parsed"
        parents = {module.rpartition(".")[0]} if "." in module else set()
        waiting += (own_modules(MODULES[module], at_module_level) | parents) - reached


HEAVY = ("tensorflow", "keras", "tensorflow_datasets", "tf_keras", "PIL", "scipy")


def test_nobody_imports_the_dataset_scripts():
    assert not (ROOT / "datasets" / "__init__.py").exists()
    for module, tree in MODULES.items():
        assert not [n for n in imported(tree) if n.split(".")[0] == "datasets"], module


def _long_ones():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "datasets").glob("*.py")]:
        text = path.read_text("utf-8")
        name = str(path.relative_to(ROOT))
        if len(text.splitlines()) > MAX_FILE_LINES:
            yield f"{name}: {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    yield f"{name}:{node.name}: {length} lines"


MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60  # STYLE: functions to 40 lines; this is where a test steps in


def test_functions_and_files_stay_small():
    assert not list(_long_ones())
