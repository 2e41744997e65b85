"""Changes one thing at a time in a module and checks whether its tests notice. Changes that survive are printed.

A survivor is a mistake that the tests would miss, unless `EXPLAINED` says why it changes no result.

    python scripts/mutation_check.py                                     all of SUBJECTS; 15 minutes on 2 idle cores
    python scripts/mutation_check.py training.losses evaluation.metrics  some of them
    python scripts/mutation_check.py training.losses 40                  at most 40 mutants of each, evenly chosen

The tests of a mutant run in a fork of this process, which has imported TensorFlow but nothing of the project.
"""

import ast
import copy
import importlib.abc
import importlib.util
import os
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUBJECTS = {  # module: the tests that have to notice
    "model.atrous": ("model/test_atrous.py",),
    "training.schedules": ("training/test_schedules.py",),
    "evaluation.metrics": ("evaluation/test_metrics.py",),
    "training.losses": ("training/test_losses.py",),
    "data.augment": ("data/test_data_augment.py", "data/test_data_sampling.py"),
}
EXPLAINED = {  # survivors that compute the same: (module, line of code, change) -> why nobody can notice
    ("evaluation.metrics", "@dataclasses.dataclass(frozen=True)", "True -> False"): "nobody writes to it",
    ("training.losses", "@dataclasses.dataclass(frozen=True)", "True -> False"): "nobody writes to it",
    (
        "training.losses",
        "losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.where(legal, labels, 0), logits)",
        "0 -> 1",
    ): "a stand-in for labels whose loss is set to 0 in the next line",
    (
        "training.losses",
        'order = tf.argsort(errors, direction="DESCENDING", stable=True)',
        "True -> False",
    ): "TensorFlow sorts stably either way",
    (
        "training.losses",
        "return resize_bilinear(logits, tf.shape(labels)[1:3]), labels",
        "3 -> 4",
    ): "labels have three axes",
    ("data.augment", "new_sides = tf.fill([2], tf.reduce_max(new_sides))", "2 -> 3"): "only the first two are used",
    (
        "data.augment",
        "scales = np.float32(low) + np.arange(count, dtype=np.float32) * np.float32((high - low) / max(count - 1, 1))",
        "1 -> 2",
    ): "counts only where there are at most two scales, which are the ends",
    (
        "data.augment",
        "seeds = tf.random.split(seed, 2)",
        "2 -> 3",
    ): "the first two of three seeds are those of two",
}
SWAPS = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Is: ast.IsNot},
    **{ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Mod: ast.Add, ast.Pow: ast.Mult},
}


def changes(tree):
    """Yields (number of the node in `ast.walk`, kind of change); annotations and docstrings are left alone."""
    spared = set()
    for node in ast.walk(tree):
        for part in ("annotation", "returns"):
            spared.update(map(id, ast.walk(getattr(node, part, None) or ast.Pass())))
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in spared:
            continue
        if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS:
            yield number, "operator"
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            yield number, "comparison"
        elif isinstance(node, (ast.If, ast.IfExp)):
            yield number, "condition"
        elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
            yield number, "constant"


def mutant(tree, number, what):
    """Returns (changed tree, a line that describes the change)."""
    tree = copy.deepcopy(tree)
    node = list(ast.walk(tree))[number]
    before = ast.unparse(node).splitlines()[0]
    if what == "operator":
        node.op = SWAPS[type(node.op)]()
    elif what == "comparison":
        node.ops[0] = SWAPS[type(node.ops[0])]()
    elif what == "condition":
        node.test = ast.UnaryOp(ast.Not(), node.test)
    else:
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    return ast.fix_missing_locations(tree), f"line {node.lineno}: {before} -> {ast.unparse(node).splitlines()[0]}"


class Substitute(importlib.abc.MetaPathFinder):
    """Loads one module from another file, not from a string: AutoGraph reads the source of what it converts."""

    def __init__(self, name, path):
        self.name, self.path = name, path

    def find_spec(self, fullname, path=None, target=None):
        return importlib.util.spec_from_file_location(fullname, self.path) if fullname == self.name else None


def noticed(subject, tree, tests):
    """Tells whether the tests fail with `tree` in place of the module, or, if it is None, with the module itself."""
    child = os.fork()
    if not child:
        import pytest

        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        if tree is not None:
            file = pathlib.Path(tempfile.mkdtemp()) / "mutant.py"
            file.write_text(ast.unparse(tree), "utf-8")
            sys.meta_path.insert(0, Substitute(f"deeplab.{subject}", file))
        files = [str(ROOT / "tests" / name) for name in tests]
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files])))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def check(subject, most):
    """Prints the survivors of one module; returns their number."""
    path = ROOT / "deeplab" / f"{subject.replace('.', '/')}.py"
    tree, tests = ast.parse(path.read_text("utf-8")), SUBJECTS[subject]
    if noticed(subject, None, tests):
        raise SystemExit(f"{tests} fail without any change")
    planned = list(changes(tree))
    chosen = planned[:: max(1, -(-len(planned) // most))] if most else planned
    survivors, equal = 0, 0
    lines = path.read_text("utf-8").splitlines()
    for number, what in chosen:
        changed, told = mutant(tree, number, what)
        if not noticed(subject, changed, tests):
            place, _, change = told.partition(": ")
            why = EXPLAINED.get((subject, lines[int(place.removeprefix("line ")) - 1].strip(), change))
            survivors, equal = survivors + (not why), equal + bool(why)
            print(f"{subject} {told}{f'  (explained: {why})' if why else ''}", flush=True)
    noticed_ones = len(chosen) - survivors - equal
    print(f"{subject}: {noticed_ones} of {len(chosen)} mutants noticed, {equal} explained", flush=True)
    return survivors


def main(arguments):
    most = next((int(word) for word in arguments if word.isdigit()), 0)
    chosen = [word for word in arguments if not word.isdigit()] or list(SUBJECTS)
    unknown = [word for word in chosen if word not in SUBJECTS]
    if unknown:
        raise SystemExit(f"{unknown[0]}: unknown module; known: {', '.join(SUBJECTS)}")
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    os.chdir(ROOT)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow  # noqa: F401  once, before the forks

    return sum(check(subject, most) for subject in chosen) and 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
