"""The wheel holds deeplab and nothing else, needs what setup.py declares, and is light to import."""

import ast
import importlib
import importlib.util
import inspect
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from helpers.places import ROOT

COPIED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "deeplab", "datasets", "scripts")
DISTRIBUTION_OF = {
    "absl": "absl-py",
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "yaml": "pyyaml",
    "mlflow": "mlflow-skinny",
}
BROUGHT_BY_TENSORFLOW = {"keras", "google", "ml_dtypes"}  # google.protobuf: TensorFlow pins all three


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without network from a copy of the sources: an open ZipFile."""
    source = tmp_path_factory.mktemp("source")
    for name in COPIED:
        path = ROOT / name
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, source / name)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_contains_only_deeplab(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"deeplab"}
    packed = {name for name in wheel.namelist() if name.startswith("deeplab/")}
    kinds = ("*.py", "*.pyi", "py.typed", "*.json", "*.html", "*.flags")
    on_disk = {str(path.relative_to(ROOT)) for kind in kinds for path in (ROOT / "deeplab").rglob(kind)}
    assert packed == on_disk
    assert sum(entry.compress_size for entry in wheel.infolist()) < 1e6


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment that has the wheel, and everything else from the environment of the tests: its bin folder."""
    folder = tmp_path_factory.mktemp("installed")
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    pip = [sys.executable, "-m", "pip", f"--python={folder / 'bin' / 'python'}", "install", "--quiet", "--no-index"]
    for command in (made, [*pip, "--no-deps", wheel.filename]):
        done = subprocess.run(command, capture_output=True, text=True, env=_without_checkout())
        assert done.returncode == 0, done.stdout + done.stderr
    (packages,) = folder.glob("lib/python3*/site-packages")
    others = [path for path in map(pathlib.Path, sys.path) if path.name == "site-packages"]
    (packages / "others.pth").write_text("".join(f"{path}\n" for path in others))
    return folder / "bin"


def _without_checkout():
    """Returns the environment variables without the path on which this checkout, and what pip knows of it, is found."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.mark.slow
def test_from_the_wheel_alone_to_pictures(installed, tmp_path):
    """All commands of a first try, outside the repository."""

    def run(command, *words):
        words = [installed / command, *words]
        done = subprocess.run(words, cwd=tmp_path, env=_without_checkout(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    found = pathlib.Path(run("python", "-c", "import deeplab; print(deeplab.__file__)").strip())
    assert found.is_relative_to(installed.parent)
    run("deeplab", "build", "shapes", "--train_images=4", "--val_images=1", "--size=64,64")
    small = ("--train_crop_size=65,65", "--train_batch_size=2", "--nosave_summaries_images", "--slow_start_step=1")
    told = run("deeplab", "train", "--recipe=quickstart", "--training_number_of_steps=2", *small)
    assert "step 2/2" in told
    logdir, shards = "--checkpoint_dir=quickstart/train", "--dataset_dir=quickstart/shards"
    assert "mIoU" in run("deeplab", "eval", logdir, shards)
    run("deeplab", "export", logdir, "--export_path=quickstart/export", "--noverify")
    run("deeplab", "predict", "--saved_model=quickstart/export", "--input=quickstart/shards/drawings/images",
        "--output=quickstart/predictions")  # fmt: skip
    assert len(list((tmp_path / "quickstart" / "predictions").glob("*_overlay.png"))) == 5


def test_console_scripts_name_existing_functions(wheel):
    (text,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt")]
    scripts = re.findall(r"^(deeplab-\w+) = ([\w.]+):(\w+)$", text, re.MULTILINE)
    assert {name for name, _, _ in scripts} >= {"deeplab-train", "deeplab-eval", "deeplab-export", "deeplab-predict"}
    for _, module, function in scripts:
        assert callable(getattr(importlib.import_module(module), function))


def test_one_version_everywhere(wheel):
    import deeplab

    (text,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("METADATA")]
    assert f"\nVersion: {deeplab.__version__}\n" in text
    assert f"\nversion: {deeplab.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\n## {deeplab.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert "License-Expression: Apache-2.0" in text or "License: Apache-2.0" in text
    assert [name for name in wheel.namelist() if name.endswith("/LICENSE")]


def _declared():
    """Distribution names in setup.py, those of the extras included."""
    literals = [node.value for node in ast.walk(ast.parse((ROOT / "setup.py").read_text("utf-8"))) if _is_text(node)]
    return {
        re.match(r"[\w-]+", text)[0].lower() for text in literals if re.match(r"^[a-z][\w-]*(\[[\w-]+\])?[<>=]", text)
    } | {
        "tensorflow"  # its version stands in a constant of its own
    }


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_import_is_declared():
    declared = _declared()
    for path in [*(ROOT / "deeplab").rglob("*.py"), *(ROOT / "datasets").glob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for name in names:
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top in BROUGHT_BY_TENSORFLOW or top in LOCAL:
                    continue
                distribution = DISTRIBUTION_OF.get(top, top.replace("_", "-")).lower()
                assert distribution in declared, f"{path.relative_to(ROOT)} imports {top}; declare it in setup.py"


LOCAL = {
    "deeplab",
    "helpers",
    *(path.name for folder in ("scripts", "tests") for path in (ROOT / folder).iterdir() if path.is_dir()),
    *(path.stem for folder in ("tests", "datasets") for path in (ROOT / folder).rglob("*.py")),
}


def _run_python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_import_is_lazy():
    loaded = _run_python("import sys, deeplab; print(*sys.modules)").split()
    assert "deeplab" in loaded
    assert not {"tensorflow", "keras", "numpy", "absl"} & set(loaded)


def test_configurations_and_presets_need_no_tensorflow():
    loaded = _run_python("import sys, deeplab; deeplab.ModelConfig(); print(*sys.modules)").split()
    assert "tensorflow" not in loaded


def test_every_public_name_exists():
    import deeplab

    for name in deeplab.__all__:
        assert getattr(deeplab, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = deeplab.nonsense


PUBLIC = (
    "ModelConfig",
    "MODELS",
    "UserError",
    "build_model",
    "count_multiply_adds",
    "restore",
    "predict_labels",
    "load",
    "Segmenter",
    "Result",
    "train_model",
    "evaluate_model",
    "export_model",
)
STUB = ast.parse((ROOT / "deeplab" / "__init__.pyi").read_text("utf-8"))
PUBLIC_MODULES = sorted({node.module for node in STUB.body if isinstance(node, ast.ImportFrom)} - {"deeplab"})
SHAPES = {  # what the docstring of a function says of the arrays that pass
    "build_model": ("(H, W, num_channels)", "(B, H, W, num_channels) in [0, 255]", "(B, h, w, num_classes) float32"),
    "predict_labels": ("(B, H, W, num_channels) in [0, 255]", "(B, H, W) int32", "(B, H, W, K) float32"),
    "count_multiply_adds": ("(H, W, num_channels)",),
}


def test_the_public_names_are_these():
    import deeplab

    assert set(deeplab.__all__) == {*PUBLIC, "keras", "__version__"}
    imported = {f"{n.module}.{n.names[0].name}" for n in ast.walk(STUB) if isinstance(n, ast.ImportFrom)}
    lazy = {f"{module}.{name}" for module, name in _lazy(deeplab)}
    assert imported == lazy | {"deeplab.keras"}


def _lazy(package):
    return package._PUBLIC.values()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    import deeplab

    public = getattr(deeplab, name)
    documented = public if callable(public) else type(next(iter(public.values())))  # data: what it consists of
    assert documented.__module__.startswith("deeplab."), "the docstring would be that of dict"
    text = " ".join(inspect.getdoc(documented).split())
    assert len(text) > 20
    for shape in SHAPES.get(name, ()):
        assert shape in text, shape
    if inspect.isfunction(public):
        signature = inspect.signature(public)
        for parameter in signature.parameters.values():
            assert re.search(rf"\b{parameter.name}\b[\w, ]*: ", text), f"{name}: what is {parameter.name}?"
            assert parameter.annotation is not parameter.empty or parameter.name == "images", parameter.name
        assert signature.return_annotation is not signature.empty


def test_editors_find_the_help_text_of_every_option():
    spec = importlib.util.spec_from_file_location("write_stubs", ROOT / "scripts" / "write_stubs.py")
    write_stubs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_stubs)
    assert write_stubs.TARGET.read_text("utf-8") == write_stubs.text(), "run python scripts/write_stubs.py"


@pytest.mark.slow
def test_type_hints_hold(tmp_path):
    """Those of the public modules, and of a program that uses them: right ones pass, wrong ones are told."""
    from mypy import api

    (tmp_path / "program.py").write_text(PROGRAM)
    settings = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={tmp_path}", "--no-error-summary"]
    modules = [str(ROOT / f"{name.replace('.', '/')}.py") for name in PUBLIC_MODULES]  # scripts/check.sh looks at all
    told, problems, _ = api.run([*settings, "--follow-imports=silent", str(tmp_path / "program.py"), *modules])
    assert not problems
    lines = [
        re.sub(r".*?program\.py:", "", line) for line in told.splitlines() if "note: Rev" in line or "error" in line
    ]
    assert len(lines) == 8, told
    for line, expected in zip(
        lines,
        ("RestoreReport", "ModelConfig", "Evaluation", "int", "tuple[str", "int", "nonsense", "str"),
        strict=True,
    ):
        assert expected in line


PROGRAM = """import deeplab

config = deeplab.ModelConfig(model_variant="xception_65", atrous_rates=(6, 12, 18))
model = deeplab.build_model(config, (513, 513, 3))
reveal_type(deeplab.restore(model, "model.ckpt-1"))
reveal_type(deeplab.load("logdir").config)
reveal_type(deeplab.MODELS["name"].evaluations)
reveal_type(deeplab.count_multiply_adds(config, eval_scales=[0.5, 1]))
labels, probabilities = deeplab.predict_labels(model, None)
reveal_type(deeplab.Segmenter.load("logdir", eval_scales=(0.5,)).class_names)
reveal_type(deeplab.train_model(train_logdir="logdir").step)
deeplab.nonsense
deeplab.load(7)
"""
