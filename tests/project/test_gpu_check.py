"""scripts/gpu_check.sh: every part at small sizes on a CPU, and parts that hang, crash or find a fault."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from helpers.places import ROOT

CHILDREN = {  # what stands in for a part: a program that sends rows and then ends in some way
    "well": "rows.send('a', ok=True, ms=2.5); rows.send('b', skipped='nothing to do')",
    "fault": "rows.send('a', ok=False, off=float('nan'))",
    "crash": "rows.send('a', ok=True); raise ValueError('odd')",
    "hang": "rows.send('a', ok=True); import signal; signal.pause()",
    "no gpu": "print('TensorFlow found none it can use'); raise SystemExit(3)",
}
ENDS = [  # (what the three parts do, their states, exit code)
    (("well", "well", "well"), ("passed", "passed", "passed"), 0),
    (("fault", "well", "well"), ("failed", "passed", "passed"), 1),
    (("crash", "well", "hang"), ("failed", "passed", "stopped"), 1),
    (("no gpu", "well", "well"), ("no GPU",), 2),
]


def check(folder, *words):
    """Runs the script; returns (the process, results.json)."""
    done = subprocess.run(
        ["bash", "scripts/gpu_check.sh", f"--output={folder}", *words],
        cwd=ROOT, env={**os.environ, "DEEPLAB_PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    path = folder / "results.json"
    return done, json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def package(monkeypatch):
    """Returns the function name -> module of the script's package."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield lambda name: importlib.import_module(f"gpu_check.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "gpu_check"]:
        del sys.modules[name]


def test_a_part_alone(tmp_path):
    done, results = check(tmp_path, "--quick", "--parts=device")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results["format"] == 1
    assert results["options"]["parts"] == ["device"]
    (part,) = results["parts"].values()
    assert part["state"] == "passed"
    found = {row["name"]: row for row in part["rows"]}
    assert int(found["machine"]["cores"]) > 0
    assert found["card"]["skipped"] == "no GPU"
    assert found["float32 without TF32"]["product_off"] < 1e-5
    table = (tmp_path / "table.txt").read_text()
    assert table == done.stdout
    assert "device        passed after" in table


@pytest.mark.parametrize(("kinds", "states", "code"), ENDS)
def test_a_part_that_fails_costs_no_other(kinds, states, code, package, tmp_path, monkeypatch, capsys):
    driver, options = package("driver"), package("options")
    names = ["device", "export", "goldens"]
    kind_of = dict(zip(names, kinds, strict=True))
    monkeypatch.setattr(
        driver,
        "_command",
        lambda part, *_: [sys.executable, "-c", f"from gpu_check import rows; {CHILDREN[kind_of[part]]}"],
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    words = [f"--parts={','.join(names)}", f"--output={tmp_path}", "--limit=goldens:2"]
    assert driver.run(options.read(words), words) == code
    parts = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert tuple(part["state"] for part in parts.values()) == states
    for part, kind in zip(parts.values(), kinds, strict=False):
        assert [row["name"] for row in part["rows"]] == {"well": ["a", "b"], "no gpu": []}.get(kind, ["a"])
        assert ("error" in part) == (kind in ("crash", "hang", "no gpu"))
    told = capsys.readouterr()
    if code == 2:
        assert told.err == (
            "error: no GPU here (TensorFlow found none it can use); bash scripts/gpu_check.sh --quick runs every part "
            "on a CPU\n"
        )
    if "crash" in kinds:
        assert "exit code 1: ValueError: odd" in told.out


def test_when_the_time_is_over_the_other_parts_are_named(package, tmp_path, capsys):
    words = ["--parts=device,memory", f"--output={tmp_path}", "--seconds=0.5"]
    assert package("driver").run(package("options").read(words), words) == 0
    parts = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert [part["state"] for part in parts.values()] == ["left out", "left out"]
    assert "memory        left out: the 0.5 s of --seconds are over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--parts=device,nonsense"], "--parts=device,nonsense: 'nonsense' is none of device, export"),
        (["--forms=float64"], "--forms=float64: 'float64' is none of bfloat16"),
        (["--limit=jit"], "--limit=jit: expected PART:SECONDS"),
        (["--parts=camvid"], "--parts=camvid: expected --camvid=SHARDS"),
        (["--torch_python=/no/python"], "--torch_python=/no/python: no such program"),
    ],
)
def test_mistakes_are_told_in_one_line(words, told, package, capsys):
    with pytest.raises(SystemExit) as ended:
        package("options").read(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_what_runs_where_nothing_is_chosen(package):
    read = package("options").read
    parts = tuple(package("parts").PARTS)
    assert read([]).parts == parts[:-2]
    assert read(["--camvid=SHARDS"]).parts == parts[:-1]
    assert read(["--quick"]).parts == parts
    assert read([]).seconds == 360
    assert read(["--limit=jit:7"]).limit("jit") == 7


def test_times_are_compared_with_pytorch(package):
    ours = {"by": "ours", "compare": "bfloat16", "ok": True}
    theirs = {"by": "PyTorch", "compare": "bfloat16", "ok": None}
    rows = [
        {"name": "plain", "ms": 90.0, **ours},
        {"name": "xla", "ms": 45.0, **ours},
        {"name": "other", "ms": 1.0, **ours, "compare": "float16"},
        {"name": "eager", "ms": 60.0, **theirs},
        {"name": "compiled", "ms": 50.0, **theirs},
        {"name": "left out", "ok": None, "skipped": "no time"},
    ]
    found = package("comparison").compared(rows)
    assert [(row["name"], row["ratio_to_eager"], row["ratio_to_best"]) for row in found] == [
        ("plain / PyTorch", 1.5, 1.8),
        ("xla / PyTorch", 0.75, 0.9),
    ]


FIGURES = [  # (part, beginning of the name of a row, figure, least, most)
    ("export", "short network", "serving_default_labels_equal_percent", 99.9, 100),
    ("export", "short network", "bytes_labels_equal_percent", 99.9, 100),
    ("export", "short network", "reference_labels_equal_percent", 99.9, 100),
    ("export", "short network", "classes", 2, 21),
    ("export", "server", "labels_equal_percent", 99.9, 100),
    ("goldens", "mobilenet_v2_os16", "worst_logit_off", 0, 2e-4),
    ("goldens", "mobilenet_v2_os16", "labels_equal_percent", 99.9, 100),
    ("loss", "mobilenet_v2_os16, bn_frozen", "off_to_allowed", 0, 1),
    ("jit", "mobilenet_v2, 33, batch 2: with XLA", "off", 0, 1e-3),
    ("training", "mobilenet_v2, 33, batch 2: float32", "ms", 0.01, 1e6),
    ("training", "mobilenet_v2, 33, batch 2: bfloat16", "first_loss", 2.5, 3.5),
    ("inference", "float32, batch 2", "images_per_second", 0.01, 1e6),
    ("inference", "float32 without TF32, batch 1", "ms", 0.01, 1e6),
    ("inference", "float16, batch 1", "labels_as_first_percent", 95, 100),
    ("depthwise", "sum over the taps, (2, 33, 33, 64) float32", "ms", 0.001, 1e6),
    ("depthwise", "cuDNN's kernels, (2, 33, 33, 728) bfloat16", "off", 0, 0.1),
    ("mirrored", "MirroredStrategy over one device", "worst_weight_off", 0, 1e-4),
    ("mirrored", "two logical devices", "worst_weight_off", 0, 1e-4),
    ("memory", "training", "exit_code", 2, 2),
    ("camvid", "recipe, float32", "miou", 0, 1),
    ("camvid", "recipe, float32", "step", 2, 2),
    ("camvid_mixed", "recipe, bfloat16", "step", 2, 2),
    ("camvid_mixed", "bfloat16 against float32", "miou_higher_by", -1, 1),
]


@pytest.mark.slow
def test_every_part_measures_and_none_finds_a_fault(tmp_path):
    """One test, since a run of all parts takes minutes and workers would each make one of their own."""
    done, results = check(tmp_path, "--quick")
    states = {name: part["state"] for name, part in results["parts"].items()}
    rows = {name: {row["name"]: row for row in part["rows"]} for name, part in results["parts"].items()}
    assert len(states) == 13
    assert set(states.values()) <= {"passed", "skipped"}, done.stdout
    assert done.returncode == 0
    for part, name, figure, least, most in FIGURES:
        (row,) = [row for found, row in rows[part].items() if found.startswith(name)]
        assert "skipped" in row or least <= row[figure] <= most, f"{part}, {name}, {figure}\n{done.stdout}"
    (sums,) = rows["deterministic"].values()
    assert sums["sha256"] == sums["sha256_after_resuming"]
    assert any("PyTorch" in name for name in rows["training"])
