"""The wheel holds deeplab and nothing else, needs what setup.py declares, and is light to import."""

import ast
import importlib
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
COPIED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "deeplab", "datasets", "scripts")
DISTRIBUTION_OF = {"absl": "absl-py", "PIL": "pillow", "ai_edge_litert": "ai-edge-litert", "yaml": "pyyaml"}
BROUGHT_BY_TENSORFLOW = {"keras", "google"}  # google.protobuf: TensorFlow pins both


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
    on_disk = {
        str(p.relative_to(ROOT)) for kind in ("*.py", "*.json", "*.html") for p in (ROOT / "deeplab").rglob(kind)
    }
    assert packed == on_disk
    assert sum(entry.compress_size for entry in wheel.infolist()) < 1e6


def test_console_scripts_name_existing_functions(wheel):
    (text,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt")]
    scripts = re.findall(r"^(deeplab-\w+) = ([\w.]+):(\w+)$", text, re.MULTILINE)
    assert {name for name, _, _ in scripts} >= {"deeplab-train", "deeplab-eval", "deeplab-export", "deeplab-predict"}
    for _, module, function in scripts:
        assert callable(getattr(importlib.import_module(module), function))


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
    "tests",
    "setup",
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


def test_public_names_are_documented():
    import deeplab

    undocumented = [n for n in deeplab.__all__ if callable(getattr(deeplab, n)) and not getattr(deeplab, n).__doc__]
    assert not undocumented
