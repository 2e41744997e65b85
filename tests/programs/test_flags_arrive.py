"""The flags of eval, vis, predict and export reach the functions whose tests show what they do.

No network is built here: the functions that open a data set, restore a network and make a `Predictor` are replaced by
ones that note their arguments.
"""

import shlex
import types

import pytest

from deeplab import UserError, cli
from deeplab.config.data import ResizeConfig
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PassesConfig, PredictConfig, TilesConfig, VisConfig
from deeplab.data import source
from deeplab.evaluation import candidates, split_predictor
from deeplab.inference import tiles, trained, untrained
from deeplab.programs import draw, evaluate, export, predict
from helpers import fake_data, small_training

PRESET = "mobilenetv2_dm05_coco_voc_trainaug"  # half of the channels
PROGRAMS = {  # program: (configuration, function, flags without which it does not start)
    "eval": (EvalConfig, evaluate.evaluate, "--checkpoint_dir=run --dataset_dir=shards"),
    "vis": (VisConfig, draw.visualize, "--checkpoint_dir=run --dataset_dir=shards"),
    "predict": (PredictConfig, predict.predict, "--checkpoint_dir=run --input=in --output=out"),
    "export": (ExportConfig, export.export, "--checkpoint_dir=run --export_path=out"),
}
NETWORK = f"--checkpoint=best --nouse_moving_averages --preset={PRESET} --dataset=fake --num_classes=3"
RESTORED = {"checkpoint": "best", "use_moving_averages": False, "num_classes": 3, "depth_multiplier": 0.5}
PASSES = "--eval_scales=0.5,1 --add_flipped_images"
PASSED = {"scales": (0.5, 1.0), "add_flipped_images": True}
RESIZE = "--min_resize_value=33 --max_resize_value=65 --resize_factor=16"
RESIZED = {"resize": ResizeConfig(33, 65, 16)}
TILED = {"tiles": TilesConfig((65, 97), 8, False)}
READ = "--dataset_dir= --dataset=tfds:pets --label_offset=-1 --ignore_label=7"
ARRIVALS = [  # (program, flags, what has to arrive)
    *((program, NETWORK, {**RESTORED, "directory": "run", "dataset": "fake"}) for program in PROGRAMS),
    *((program, PASSES, PASSED) for program in ("eval", "vis", "predict")),
    *((program, RESIZE, RESIZED) for program in ("eval", "vis")),
    *((program, READ, {"label_offset": -1, "ignore_label": 7, "name": "tfds:pets"}) for program in ("eval", "vis")),
    ("eval", "--eval_split=test --eval_crop_size=65,97", {"split": "test", "crop_size": (65, 97)}),
    ("eval", "--distribution_strategy=mirrored", {"distribution_strategy": "mirrored"}),
    ("vis", "--vis_split=test --vis_crop_size=65,97", {"split": "test", "crop_size": (65, 97)}),
    ("predict", "--crop_size=65,97", {"crop_size": (65, 97)}),
    ("predict", "--tile_size=65,97 --tile_overlap=8 --notile_shared_context", TILED),
    ("export", "--inference_scales=0.5,1 --add_flipped_images --crop_size=65,97", {**PASSED, "crop_size": (65, 97)}),
    ("export", "--checkpoint_dir= --checkpoint_path=elsewhere", {"directory": "elsewhere"}),
]  # fmt: skip


class Arrived(Exception):
    """Ends a program when everything has arrived."""


@pytest.fixture
def arrive(monkeypatch, tmp_path):
    """Returns a function (program, flags) -> {what: value} of what arrived."""
    fake_data.save(fake_data.image(), tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    seen = {}

    def open_split(dataset_dir, split, name=None, read=None):
        options = {field: getattr(read, field) for field in ("label_offset", "ignore_label")}
        seen.update(split=split, name=name, **options)
        return types.SimpleNamespace(dataset=small_training.dataset())

    def load(directory, checkpoint, overrides, defaults, dataset, use_moving_averages):
        seen.update(directory=directory, checkpoint=checkpoint, **{**defaults, **overrides})
        seen.update(use_moving_averages=use_moving_averages, dataset="fake")
        loaded = {
            "model": None,
            "config": types.SimpleNamespace(num_classes=3, num_channels=3, model_variant="mobilenet_v2"),
        }
        return types.SimpleNamespace(
            **loaded, dataset=small_training.dataset(), folder="run", checkpoint="run/a", step=1, trained_size=None
        )

    def predictor(model, crop_size, scales, add_flipped_images):
        seen.update(crop_size=crop_size, scales=scales, add_flipped_images=add_flipped_images)
        return types.SimpleNamespace(config=types.SimpleNamespace(num_channels=3))

    def last(*arguments):
        seen.update({type(value).__name__: value for value in arguments})
        raise Arrived

    monkeypatch.setattr(source, "open_split", open_split)
    monkeypatch.setattr(trained, "find", lambda *_: ("nowhere", "nowhere/model.ckpt-1"))
    monkeypatch.setattr(trained, "load", load)
    monkeypatch.setattr(candidates.devices, "evaluation_strategy", lambda kind: seen.update(distribution_strategy=kind))
    for module in (split_predictor, predict.opening, export):
        monkeypatch.setattr(module, "Predictor", predictor)
    monkeypatch.setattr(split_predictor, "make_split_predictor", last)
    monkeypatch.setattr(predict.opening, "_settings", lambda *_: {})
    monkeypatch.setattr(untrained, "treat", lambda *_: None)
    monkeypatch.setattr(tiles, "window", last)
    monkeypatch.setattr(predict.output_folder, "plan", last)
    monkeypatch.setattr(export.model_card, "image_size", lambda *_: (65, 65))
    monkeypatch.setattr(export, "_folded", last)
    monkeypatch.setattr(predict.catalog, "load", lambda *_: small_training.dataset())

    def arrive(program, text):
        config_class, function, base = PROGRAMS[program]
        seen.clear()
        config = cli.read(config_class, [program, *shlex.split(f"{base} {text}")])
        with pytest.raises(Arrived):
            function(config)
        return {**seen, "resize": seen.get("ResizeConfig"), "tiles": seen.get("TilesConfig")}

    return arrive


@pytest.mark.parametrize(("program", "flags", "expected"), ARRIVALS)
def test_they_arrive(arrive, program, flags, expected):
    found = arrive(program, flags)
    assert {name: found[name] for name in expected} == expected
    plain = arrive(program, "")
    assert {name: plain.get(name) for name in expected} != expected


@pytest.mark.parametrize("program", ["predict", "export", "eval", "vis"])
def test_another_name_than_that_of_the_data_set_is_refused(arrive, program):
    with pytest.raises(
        UserError, match="--dataset=camvid: has no effect, because the data set is 'fake' with 3 classes"
    ):
        arrive(program, "--dataset=camvid")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_preset_beside_a_config_json_is_refused(arrive, program, monkeypatch):
    monkeypatch.setattr(trained.run_folder, "is_configured", lambda folder: True)
    with pytest.raises(UserError, match=rf"preset='{PRESET}': has no effect, because nowhere/config\.json says"):
        arrive(program, f"--preset={PRESET}")


def test_a_watched_folder_is_looked_at_as_the_flags_say(monkeypatch):
    calls = []
    monkeypatch.setattr(trained, "new_checkpoints", lambda *arguments: calls.append(arguments) or iter(()))
    flags = {"checkpoint_dir": "run", "dataset_dir": "shards", "continuous": True}
    evaluate.evaluate(EvalConfig(**flags, eval_interval_secs=7, eval_timeout_secs=9))
    assert calls == [("run", 7, 9)]
    with pytest.raises(UserError, match="checkpoint='best': has no effect with --continuous"):
        evaluate.evaluate(EvalConfig(**flags, checkpoint="best"))


def test_options_of_some_of_those_compared_are_left_out_for_the_others(monkeypatch, tmp_path):
    """An export brings its checkpoint; a train_logdir says what its network is."""
    for name in ("run", "bare"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "export" / "1").mkdir(parents=True)
    (tmp_path / "export" / "1" / "saved_model.pb").touch()
    opened = []

    def note(config):
        opened.append(config)
        return candidates.Candidate("", small_training.dataset(), {}, "", None)

    monkeypatch.setattr(candidates, "_open_export", note)
    monkeypatch.setattr(candidates, "_open_checkpoint", note)
    options = {"preset": PRESET, "checkpoint": "best", "eval_batch_size": 2, "passes": PassesConfig()}

    def compared(*names):
        opened.clear()
        pairs = tuple(f"{name}={tmp_path / name}" for name in names)
        candidates.open_candidates(EvalConfig(compare=pairs, dataset_dir="shards", eval_logdir="out", **options))
        return [(one.preset, one.checkpoint, one.eval_batch_size) for one in opened]

    assert compared("run", "bare", "export") == [(None, "best", 2), (PRESET, "best", 2), (None, "newest", 2)]
    (tmp_path / "second" / "1").mkdir(parents=True)
    (tmp_path / "second" / "1" / "saved_model.pb").touch()
    with pytest.raises(UserError, match=r"compare=export=.*: .*has no effect with --saved_model"):
        compared("export", "second")
