"""What leaves the machine names no place of it: no folder above the one it lies in, no host, no home of the user."""

import json
import os
import pathlib
import socket
import tempfile

import pytest

from deeplab.config.export import FORMATS, ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig
from deeplab.config.training import TrainConfig
from deeplab.eval import evaluate
from deeplab.export import export
from deeplab.predict import predict
from deeplab.train import train
from helpers import fake_data

pytestmark = [pytest.mark.usefixtures("shortest_mobilenet"), pytest.mark.slow]
TELLING = "payroll-of-alice"  # a folder above everything


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Returns a folder of that name, with shards and a training of one step."""
    folder = tmp_path_factory.mktemp(TELLING)
    shards = fake_data.shards(folder / "data", {"train": 4, "val": 2})
    options = {"train_crop_size": (65, 65), "train_batch_size": 2, "model": {"depth_multiplier": 0.25}}
    schedule = TrainConfig.__dataclass_fields__["schedule"].default_factory()
    options["schedule"] = type(schedule)(training_number_of_steps=1)
    train(TrainConfig(train_logdir=str(folder / "run"), dataset_dir=str(shards), **options))
    return folder


def _telling(folder):
    """Returns {file: what it names} of the files below `folder` that name a place of this machine."""
    words = {TELLING, str(pathlib.Path.home()), tempfile.gettempdir(), os.getcwd()} - {"/"}
    words |= {name for name in (socket.gethostname(),) if len(name) > 5}  # shorter ones occur in weights by chance
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            named = [word for word in words if word.encode() in content or word.encode("utf-16-le") in content]
            if named:
                found[str(path.relative_to(folder))] = named
    return found


@pytest.mark.parametrize(("format", "options"), [*((name, {}) for name in FORMATS), ("openvino", {"quantize": "int8"})])
def test_an_export_names_none(place, monkeypatch, format, options):
    path = place / "exports" / "-".join((format, *options.values()))
    options = {**options, "checkpoint_dir": str(place / "run"), "crop_size": (65, 65)}
    options |= {"dataset_dir": str(place / "data/shards")} if "quantize" in options else {}
    monkeypatch.setattr(tempfile, "tempdir", str(place))  # converters work in folders of it
    export(ExportConfig(export_path=str(path), format=format, **options))
    assert not _telling(path)
    card = json.loads((path / "1/model.json").read_text())
    assert card["checkpoint"] == "run/model.ckpt-1"


def test_scores_and_labels_name_none(place):
    export(ExportConfig(checkpoint_dir=str(place / "run"), export_path=str(place / "made"), verify=False))
    for name, options in {
        "a": {"checkpoint_dir": str(place / "run")},
        "b": {"saved_model": str(place / "made")},
    }.items():
        outputs = {kind: str(place / f"{kind}_{name}") for kind in ("scores", "labels")}
        data = {"dataset_dir": str(place / "data/shards"), "trimap_widths": (1,), "eval_logdir": outputs["scores"]}
        evaluate(EvalConfig(**options, **data))
        predict(PredictConfig(**options, input=str(place / "data/val/images"), output=outputs["labels"]))
        for folder in outputs.values():
            assert not _telling(pathlib.Path(folder))
