"""Which GPUs and which precision the programs compute with, whatever runs in the process before and after them."""

import contextlib
import shlex
import types

import pytest
import tensorflow as tf

from deeplab import UserError, cli, devices
from deeplab.benchmarks import own_process
from deeplab.config.benchmark import BenchmarkConfig
from deeplab.config.export import ExportConfig
from deeplab.config.inference import EvalConfig, PredictConfig, VisConfig
from deeplab.config.model import ModelConfig
from deeplab.config.options import GpuConfig
from deeplab.config.serve import ServeConfig
from deeplab.config.training import MAY_CHANGE, RunConfig, TrainConfig
from deeplab.evaluation import candidates
from deeplab.programs import benchmark, draw, evaluate, export, predict, train
from deeplab.serving import run
from deeplab.training import run_folder
from helpers import small_training

PROGRAMS = {  # program: (configuration, function, flags without which it does not start, what it calls first)
    "train": (TrainConfig, train.train, "--train_logdir=run --dataset_dir=shards", (devices, "training_strategy")),
    "eval": (EvalConfig, evaluate.evaluate, "--checkpoint_dir=run --dataset_dir=shards",
             (evaluate.candidates, "open_candidates")),
    "vis": (VisConfig, draw.visualize, "--checkpoint_dir=run --dataset_dir=shards", (draw, "restore_split_predictor")),
    "predict": (PredictConfig, predict.predict, "--checkpoint_dir=run --input=in --output=out",
                (predict.input_files, "find")),
    "export": (ExportConfig, export.export, "--checkpoint_dir=run --export_path=out", (export.catalog, "load")),
    "serve": (ServeConfig, run.serve, "--saved_model=export", (run.export_folder, "candidates")),
    "benchmark": (BenchmarkConfig, benchmark.benchmark, "--input", (benchmark, "print_input")),
}  # fmt: skip
USE_TF32 = {"train", "benchmark"}  # where nothing is compared with numbers of another machine


class Arrived(Exception):
    """Ends a program at its first step."""


@pytest.fixture
def begin(monkeypatch):
    """Returns a function (program, flags, look) that runs a program up to its first step, and `look` there."""

    def begin(program, text, look):
        config_class, function, base, (module, name) = PROGRAMS[program]
        config = cli.read(config_class, [program, *shlex.split(f"{base} {text}")])

        def arrive(*_arguments, **_options):
            look()
            raise Arrived

        with monkeypatch.context() as patch:
            patch.setattr(module, name, arrive)
            with pytest.raises(Arrived):
                function(config)

    return begin


def is_on():
    return tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.mark.parametrize("program", PROGRAMS)
def test_tf32_is_on_where_nothing_is_compared_and_as_before_afterwards(program, begin):
    seen = []
    for before in (False, True):
        with devices.tf32(before):
            for flags in ("", "--tf32", "--notf32"):
                begin(program, flags, lambda: seen.append(is_on()))
                assert is_on() == before
    assert seen == [program in USE_TF32, True, False] * 2


@pytest.fixture
def gpus(monkeypatch):
    """Pretends that there are GPUs. Returns a function (compute capabilities) that says which they are."""

    def pretend(*capabilities):
        cards = [tf.config.PhysicalDevice(f"/physical_device:GPU:{i}", "GPU") for i in range(len(capabilities))]
        details = dict(zip(cards, capabilities, strict=True))
        for name in ("list_physical_devices", "get_visible_devices", "list_logical_devices"):
            monkeypatch.setattr(tf.config, name, lambda kind=None: cards if kind in (None, "GPU") else [])
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda card: {"compute_capability": details[card]}
        )
        return cards

    return pretend


@pytest.mark.parametrize("program", PROGRAMS)
def test_memory_grows_on_request_before_a_device_is_used(program, begin, gpus, monkeypatch):
    cards, calls = gpus((8, 0), (8, 0)), []
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda *arguments: calls.append(arguments))
    begin(program, "", lambda: calls.append("first step"))
    assert calls == ["first step"]
    calls.clear()
    begin(program, "--gpu_memory_growth", lambda: calls.append("first step"))
    assert calls == [(cards[0], True), (cards[1], True), "first step"]


def test_memory_that_is_taken_already_cannot_grow(gpus, monkeypatch):
    def too_late(card, wanted):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    gpus((9, 0))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", too_late)
    with pytest.raises(UserError, match=r"gpu_memory_growth=True: /physical_device:GPU:0 cannot change any more"):
        devices.take_memory_as_needed(True)


@pytest.mark.parametrize(
    ("capabilities", "expected"), [([], False), ([(7, 5)], False), ([(8, 0)], True), ([(7, 0), (9, 0)], True)]
)
def test_tf32_is_what_the_gpus_have(gpus, capabilities, expected):
    gpus(*capabilities)
    with devices.tf32(True):
        assert devices.computes_in_tf32() == expected
    with devices.tf32(False):
        assert not devices.computes_in_tf32()


def test_results_say_whether_tf32_was_used(gpus, monkeypatch):
    gpus((9, 0))
    split = types.SimpleNamespace(dataset=small_training.dataset())
    monkeypatch.setattr(candidates.pipeline, "refuse_unlabelled", lambda split: None)
    monkeypatch.setattr(candidates, "_split_facts", lambda *_: {"split": "val", "dataset": "fake", "num_images": 5})
    loaded = types.SimpleNamespace(
        checkpoint="run/a", step=1, folder="run", config=ModelConfig(num_classes=small_training.CLASSES)
    )
    restored = loaded, types.SimpleNamespace(split=split, crop_size=None)
    monkeypatch.setattr(candidates, "restore_split_predictor", lambda *_: restored)
    monkeypatch.setattr(candidates.devices, "evaluation_strategy", lambda kind: None)
    config = EvalConfig(checkpoint_dir="run", dataset_dir="shards")
    for used in (False, True):
        with devices.tf32(used):
            (candidate,) = candidates.open_candidates(config)
            assert candidate.facts["tf32"] == used


def test_a_training_records_tf32_and_keeps_it():
    config = TrainConfig(train_logdir="run", dataset_dir="shards", gpu=GpuConfig(tf32=False, gpu_memory_growth=True))
    recorded = run_folder.recorded_options(config, config.model_config(3))
    assert recorded["training"]["gpu"] == {"tf32": False, "gpu_memory_growth": True}
    assert "gpu_memory_growth" in MAY_CHANGE
    assert "tf32" not in MAY_CHANGE


def test_evaluations_while_training_compute_as_eval_does(monkeypatch, tmp_path):
    """Their scores choose the best checkpoint, and are compared with scores of eval."""
    seen = []
    scores = types.SimpleNamespace(seen=types.SimpleNamespace(mean_iou=0.5, pixel_accuracy=0.5))
    monkeypatch.setattr(train.scoring, "score", lambda *_: seen.append(is_on()) or scores)
    monkeypatch.setattr(train.source, "open_split", lambda *_: None)
    monkeypatch.setattr(train.pipeline, "refuse_unlabelled", lambda split: None)
    monkeypatch.setattr(train, "Predictor", lambda *_: None)
    monkeypatch.setattr(train.views, "any_size", lambda network: None)
    monkeypatch.setattr(train, "make_split_predictor", lambda *_: None)
    step = types.SimpleNamespace(optimizer=types.SimpleNamespace(averaged=contextlib.nullcontext))
    progress = types.SimpleNamespace(writes=False, say=lambda text: None)
    with devices.tf32(True):
        config = TrainConfig(train_logdir=str(tmp_path), dataset_dir="shards")
        train.best_checkpoint(config, None, step, progress).score()
        assert seen == [False]
        assert is_on()


def test_another_process_computes_alike(gpus, monkeypatch):
    gpus((8, 0))
    monkeypatch.setattr(tf.config.experimental, "get_memory_growth", lambda card: True)
    with devices.tf32(True):
        assert devices.gpu_config() == GpuConfig(tf32=True, gpu_memory_growth=True)
    grown = []
    monkeypatch.setattr(devices, "take_memory_as_needed", grown.append)
    for gpu in (GpuConfig(True, True), GpuConfig(False, False)):
        found = own_process._call((__name__, "is_on"), (), 1, gpu)
        assert (found, grown.pop()) == (gpu.tf32, gpu.gpu_memory_growth)


@pytest.mark.parametrize(
    ("cards", "logical", "used", "reduces"),
    [
        (0, 0, 1, True),
        (0, 0, 2, False),
        (1, 1, 1, True),  # one GPU has nothing to sum
        (1, 2, 2, True),  # two logical GPUs of one card, which NCCL refuses
        (2, 3, 3, True),
        (2, 2, 2, False),  # two cards: NCCL
    ],
)
def test_replicas_need_nccl_only_between_cards(monkeypatch, cards, logical, used, reduces):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [None] * cards)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [None] * logical)
    chosen = devices._cross_device_ops([f"/gpu:{i}" for i in range(used)])
    assert isinstance(chosen, tf.distribute.ReductionToOneDevice) if reduces else chosen is None


def test_mirrored_strategies_sum_in_that_way(monkeypatch):
    made = []
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(devices, "_cross_device_ops", lambda names: f"sums over {names}")
    devices._mirrored.__wrapped__(("/gpu:0",))
    assert made == [(("/gpu:0",), "sums over ('/gpu:0',)")]


def test_the_end_of_an_iterator_waits_for_no_autotuner(monkeypatch):
    """It would stand still for up to a minute after the last step, and hold Python's lock."""
    tuned, plain = [], tf.data.Dataset.__iter__

    def recorded(dataset):
        tuned.append(dataset.options().autotune.enabled)
        return plain(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", recorded)
    batches = devices.untuned(tf.data.Dataset.range(8).map(lambda number: number)).batch(2)
    strategy = devices.training_strategy(RunConfig(distribution_strategy="one_device"))
    shared = strategy.distribute_datasets_from_function(lambda _: batches)
    assert next(devices.iterate(shared)).numpy().tolist() == [0, 1]
    assert next(devices.iterate(batches)).numpy().tolist() == [0, 1]
    assert tuned == [False, False]  # of the dataset that TensorFlow makes for the device, and of the batches themselves
