"""Trackers: what W&B and MLflow hear of a training, and that none of them stops or slows it."""

import json
import os
import pathlib
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from deeplab import UserError
from deeplab.checkpoints import bundle
from deeplab.config.model import ModelConfig
from deeplab.config.training import RunConfig, ScheduleConfig
from deeplab.data import catalog
from deeplab.training import progress, run_folder
from deeplab.training.tracking import child, feed, messages, tracked
from helpers import tiny_training as tiny

TELLING = "payroll-of-alice"


class Loop:
    """A `TrainingLoop` that takes three steps at once and reports on each; `ends` is what it returns or raises."""

    def __init__(self, folder, tracker, ends=None, start=0, writes=True, total=3):
        self.folder, self.ends, self.start = folder, ends, start
        run = RunConfig(tracker=tracker, save_summaries_secs=10**6)
        schedule = ScheduleConfig(training_number_of_steps=total)
        self.config = tiny.config(
            train_logdir=str(folder), dataset_dir=f"/{TELLING}/shards", run=run, schedule=schedule
        )
        self.runner = types.SimpleNamespace(step=types.SimpleNamespace(updates=lambda: total))
        self.progress = progress.Progress(self.config, start, writes, self.sample, np.zeros((256, 3), np.uint8))
        self.said = []
        self.progress.say = self.said.append
        self.total = total

    def sample(self, step, count):
        shades = np.arange(count, dtype=np.uint8)[:, None, None, None]
        return (np.zeros((count, 4, 4, 3), np.uint8) + shades, *(np.zeros((count, 4, 4), np.uint8) for _ in range(2)))

    def why_over(self, step):
        return "over" if step == self.total else None

    def train(self):
        for step in range(self.start + 1, self.total + 1):
            self.progress.note(step, {"loss": 1 / step, "learning_rate": float("nan")})
        self.progress._pictures(self.total)
        run_folder.write_config(str(self.folder), ModelConfig(), {}, (48, 64))
        catalog.save(catalog.Dataset("fake", 3), str(self.folder))
        bundle.write(bundle.prefix_for(str(self.folder / "best"), 2), {"global_step": np.int64(2)})
        if isinstance(self.ends, BaseException):
            raise self.ends
        return self.ends

    def run(self):
        return tracked.train(self, self.config, ModelConfig(), self.start, (catalog.FILE,))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / TELLING / "run7"
    made.mkdir(parents=True)
    return made


def fake(monkeypatch, script, *arguments):
    """Makes a Python script the child of every tracker, whose package need not be there."""
    monkeypatch.setattr(feed, "command", lambda tracker: [sys.executable, "-c", script, *arguments])


RECORDS = """
import json, sys
with open(sys.argv[1], "a", buffering=1) as file:
    for line in sys.stdin:
        message = json.loads(line)
        if "artifact" in message:
            message["config"] = open(message["artifact"]["config.json"]).read()
        file.write(json.dumps(message) + "\\n")
        answer = {"id": "r1"} if "begin" in message else {"done": True, "ended": "end" in message}
        print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize(
    ("ends", "status"),
    [(None, "finished"), (75, "stopped"), (KeyboardInterrupt(), "stopped"), (UserError("loss"), "failed")],
)
def test_a_tracker_hears_what_metrics_jsonl_gets(folder, tmp_path, monkeypatch, ends, status):
    fake(monkeypatch, RECORDS, str(tmp_path / "heard"))
    loop = Loop(folder, "wandb", ends)
    if isinstance(ends, BaseException):
        with pytest.raises(type(ends)):
            loop.run()
    else:
        assert loop.run() == ends
    heard = [json.loads(line) for line in (tmp_path / "heard").read_text().splitlines()]
    written = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [{"step": one["step"], **one["values"]} for one in heard if "values" in one] == written
    assert [len(one["pictures"]) for one in heard if "pictures" in one] == [3]
    assert heard[-1] == {"end": status}
    begin = heard[0]["begin"]
    assert (begin["id"], begin["name"], begin["step"]) == (None, "run7", 0)
    assert begin["parameters"]["train_batch_size"] == 4
    assert begin["parameters"]["dataset_dir"] == "shards"
    kept = [one for one in heard if "artifact" in one]
    assert len(kept) == (status == "finished")
    for one in kept:
        names = {"model.ckpt-2.index", "model.ckpt-2.data-00000-of-00001", "config.json", "dataset.json"}
        assert one["artifact"].keys() == names
        assert json.loads(one["config"])["training"] == {}
        assert json.loads(one["config"])["trained_size"] == [48, 64]
    assert json.loads((folder / "tracker.json").read_text())["runs"] == {"wandb": "r1"}
    assert "wandb run r1" in loop.said


def test_a_training_that_goes_on_goes_on_with_its_run_and_one_that_begins_anew_does_not(folder, tmp_path, monkeypatch):
    fake(monkeypatch, RECORDS, str(tmp_path / "heard"))
    for start, expected in ((0, None), (1, "r1"), (0, None)):
        (tmp_path / "heard").unlink(missing_ok=True)
        Loop(folder, "wandb", start=start).run()
        assert json.loads((tmp_path / "heard").read_text().splitlines()[0])["begin"]["id"] == expected
    for loop in (Loop(folder, "wandb", writes=False), Loop(folder, None), Loop(folder, "wandb", start=3)):
        (tmp_path / "heard").unlink(missing_ok=True)
        loop.progress.note = loop.progress._pictures = lambda *arguments: None
        loop.run()
        assert not (tmp_path / "heard").exists()


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("import time; time.sleep(100)", "no answer for 0.3 seconds"),
        ("import sys; sys.exit(3)", "its process ended"),
        ('print(\'{"error": "Refused: no server"}\')', "Refused: no server"),
        ("import os; os.close(0); print('x'); import time; time.sleep(1)", ""),
    ],
)
def test_a_tracker_that_does_not_answer_costs_one_line(folder, monkeypatch, script, line):
    fake(monkeypatch, script)
    monkeypatch.setattr(feed, "_LAST_WAIT", dict.fromkeys(feed._LAST_WAIT, 0.3))
    loop = Loop(folder, "mlflow")
    assert loop.run() is None
    told = [text for text in loop.said if text.startswith("The tracker gets no more reports")]
    assert len(told) == 1
    assert line in told[0]


def test_a_tracker_that_is_too_slow_loses_reports_and_nothing_waits_for_it(monkeypatch):
    said = []
    monkeypatch.setattr(feed, "_MOST_WAITING", 3)
    monkeypatch.setattr(feed, "_LAST_WAIT", dict.fromkeys(feed._LAST_WAIT, 0.1))
    sleeping = [sys.executable, "-c", "import time; time.sleep(100)"]
    run = feed.Feed(sleeping, {}, said.append, lambda name: None)
    for step in range(50):
        run.values(step, {"x" * 100_000: 1.0})  # a pipe holds less
    run.end(messages.FAILED, 50, {})
    assert any("too slow for 4" in text for text in said)
    assert run._child.poll() is not None


def test_a_package_that_is_missing_is_named_and_a_folder_of_its_name_is_none(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(path for path in sys.path if "site-packages" not in path)])
    for name, package in (("wandb", "wandb"), ("mlflow", "mlflow-skinny")):
        monkeypatch.delitem(sys.modules, name, raising=False)
        with pytest.raises(UserError, match=rf"--tracker={name} needs {name}, which .*: pip install {package}$"):
            tracked.refuse(name)
    tracked.refuse(None)


def test_parameters_are_flags_without_places():
    config = tiny.config(
        train_logdir="/home/alice/run", dataset_dir="gs://bucket/data/voc", tf_initial_checkpoint="/a/run6/model.ckpt-5"
    )
    found = tracked.parameters(run_folder.recorded_options(config, ModelConfig()))
    assert found["train_logdir"] == "run"
    assert found["dataset_dir"] == "voc"
    assert found["tf_initial_checkpoint"] == "run6/model.ckpt-5"
    assert found["train_crop_size"] == "513,513"
    assert found["base_learning_rate"] == config.schedule.base_learning_rate
    assert not {"backbone_weights", "tracker", "dry_run", "tpu", "data_service"} & found.keys()


def test_the_child_tells_what_a_tracker_raises():
    class Broken:
        id = "r"

        def __init__(self, begin):
            pass

        def values(self, values, step):
            raise OSError("no\nserver")

    class Answers(list):
        write, flush = list.append, lambda self: None

    answers = Answers()
    child.serve(Broken, [messages.line(begin={}), messages.line(values={"a": None}, step=1)], answers)
    assert [json.loads(line) for line in answers] == [{"id": "r"}, {"error": "OSError: no server"}]


def _telling(root):
    words = (TELLING, str(pathlib.Path.home()), os.getcwd())
    return [
        str(path) for path in root.rglob("*") if path.is_file() for word in words if word.encode() in path.read_bytes()
    ]


@pytest.mark.slow
def test_mlflow_keeps_parameters_curves_pictures_and_the_checkpoint(folder, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/store")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setattr(feed, "_LAST_WAIT", dict.fromkeys(feed._LAST_WAIT, 60))
    tracked.refuse("mlflow")
    Loop(folder, "mlflow", 75).run()  # stopped, and gone on with
    loop = Loop(folder, "mlflow", start=3, total=5)
    loop.run()
    name = json.loads((folder / "tracker.json").read_text())["runs"]["mlflow"]
    client = mlflow.MlflowClient()
    run = client.get_run(name)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run7"
    assert run.data.params["train_batch_size"] == "4"
    assert run.data.tags["training_number_of_steps from step 3"] == "5"
    assert [metric.step for metric in client.get_metric_history(name, "loss")] == [1, 2, 3, 4, 5]
    assert len(client.list_artifacts(name, "pictures")) == 6
    kept = {file.path for file in client.list_artifacts(name, "checkpoint")}
    assert {"checkpoint/model.ckpt-2.index", "checkpoint/config.json", "checkpoint/dataset.json"} <= kept
    assert not [path for path in _telling(tmp_path / "store") if not path.endswith("meta.yaml")]  # which says its place


@pytest.mark.slow
def test_mlflow_without_a_server_costs_one_line(folder, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match="--tracker=mlflow: MLFLOW_TRACKING_URI has to say where"):
        tracked.refuse("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    loop = Loop(folder, "mlflow")
    assert loop.run() is None
    assert len(loop.said) == 1
    assert "127.0.0.1" in loop.said[0]
    assert "\n" not in loop.said[0]


@pytest.mark.slow
def test_wandb_keeps_parameters_curves_pictures_and_the_checkpoint_offline(folder, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracked.refuse("wandb")
    Loop(folder, "wandb").run()
    name = json.loads((folder / "tracker.json").read_text())["runs"]["wandb"]
    (record,) = (folder / "wandb").glob(f"offline-run-*/run-{name}.wandb")
    content = record.read_bytes()
    for word in ("train_batch_size", "loss", f"checkpoint-{name}", "model.ckpt-2.index"):
        assert word.encode() in content, word
    assert len(list(record.parent.glob("files/media/images/*.png"))) == 3
    assert str(tmp_path).encode() not in content.replace(str(folder).encode(), b"")
    assert not (pathlib.Path.cwd() / "wandb").exists()


def test_the_child_imports_no_tensorflow():
    code = (
        "import sys, deeplab.training.tracking.child, deeplab.training.tracking.wandb_run; "
        "import deeplab.training.tracking.mlflow_run; print('tensorflow' in sys.modules)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n", time.monotonic() - began
