"""Every program tells a lack of memory in one line, which says what did not fit and what needs less."""

import re
import types

import pytest
import tensorflow as tf
from absl import flags

from deeplab import UserError, cli, devices, memory
from deeplab.config.inference import EvalConfig, PassesConfig, PredictConfig, TilesConfig, VisConfig
from deeplab.config.model import ModelConfig
from deeplab.config.optimization import OptimizerConfig
from deeplab.config.training import RunConfig, TrainConfig
from deeplab.data import catalog
from deeplab.errors import lack_of_memory
from deeplab.evaluation import candidates
from deeplab.model import cost
from deeplab.model.network import build_model
from deeplab.programs import advice, draw, export, predict, train
from deeplab.serving.computing import model as served
from deeplab.training import loop
from helpers import fake_data, small_training
from helpers.options import Outer

GIB = 2**30
OOM = "OOM when allocating tensor with shape[16,513,513,64] and type float on /job:localhost/device:GPU:0"
INSIDE = f"{{{{function_node f}}}} {OOM} by allocator GPU_0_bfc\n\t [[{{node Conv2D}}]]"
LACKS = [  # as TensorFlow, XLA, cuDNN, cuBLAS, CUDA, NumPy and Linux say it
    tf.errors.ResourceExhaustedError(None, None, INSIDE),
    tf.errors.ResourceExhaustedError(None, None, "Out of memory while trying to allocate 8589934592 bytes."),
    tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Failed to allocate request for 1.2GiB (1288490188B)"),
    tf.errors.InternalError(None, None, "Failed copying input tensor from CPU:0: Dst tensor is not initialized."),
    tf.errors.InternalError(None, None, "Failed setting context: CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
    tf.errors.InternalError(None, None, "Could not create cudnn handle: CUDNN_STATUS_ALLOC_FAILED"),
    tf.errors.InternalError(None, None, "failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED"),
    tf.errors.NotFoundError(None, None, "No algorithm worked! Error messages: RESOURCE_EXHAUSTED: Out of memory while"),
    tf.errors.UnknownError(None, None, "Failed to get convolution algorithm. This is probably because cuDNN failed"),
    MemoryError("Unable to allocate 37.3 GiB for an array with shape (100000, 100000) and data type float32"),
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
]
OTHERS = [
    tf.errors.ResourceExhaustedError(None, None, "/place/model.ckpt; No space left on device"),
    tf.errors.ResourceExhaustedError(None, None, "/place/model.ckpt; Too many open files"),
    tf.errors.NotFoundError(None, None, "No algorithm worked! Error messages: CUDNN_STATUS_NOT_SUPPORTED"),
    ValueError("shapes do not fit"),
    UserError("x: does not fit into memory (OOM when allocating tensor)"),
]  # fmt: skip


@pytest.mark.parametrize("error", LACKS, ids=str)
def test_a_lack_of_memory_is_recognised_and_is_one_short_line(error):
    found = lack_of_memory(error)
    assert found
    assert "\n" not in found
    assert len(found) <= 120


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_are_not_taken_for_it(error):
    assert lack_of_memory(error) is None
    with pytest.raises(type(error)) as passed, memory.told(str, str):
        raise error
    assert passed.value is error


def raising(error):
    def function(*_arguments, **_options):
        raise error

    return function


@pytest.mark.slow  # TensorFlow tries for ten seconds
def test_a_real_one_is_told():
    expected = r"^this: does not fit into the memory of this machine \(\d+\.\d GiB\); less of it"
    with pytest.raises(UserError, match=expected) as told, memory.told(lambda: "this", lambda size: "less of it"):
        tf.zeros((1 << 20, 1 << 22))
    assert "OOM when allocating tensor with shape[1048576,4194304]" in str(told.value)


@pytest.mark.parametrize("error", [LACKS[0], LACKS[2], MemoryError()], ids=str)
def test_whatever_runs_out_of_memory_ends_with_one_line(error, capsys):
    flags.FLAGS.unparse_flags()
    with pytest.raises(SystemExit) as ended:
        cli.main(raising(error), Outer, ["program"], uses_tensorflow=False)
    told = capsys.readouterr().err
    assert ended.value.code == cli.EXIT_BAD_INPUT
    assert told.startswith("error: not enough memory (")
    assert len(told.splitlines()) == 1


@pytest.fixture
def gpu(monkeypatch):
    """Pretends that there is a GPU of 10 GiB."""
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["/gpu:0"])
    found = [types.SimpleNamespace(device_type=kind, memory_limit=10 * GIB) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(memory.device_lib, "list_local_devices", lambda: found)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (OOM, r"GPU \(10.0 GiB\)"),
        (f"{OOM} by allocator GPU_0_bfc", r"GPU \(10.0 GiB\)"),
        ("OOM when allocating tensor with shape[9] on /device:CPU:0 by allocator cpu", "this machine"),
        ("OOM when allocating tensor with shape[9] by allocator gpu_host_bfc", "this machine"),
    ],
)
def test_the_memory_is_that_of_the_allocator(gpu, text, place):
    with pytest.raises(UserError, match=f"the memory of (the )?{place}"), memory.told(lambda: "this", str):
        raise tf.errors.ResourceExhaustedError(None, None, text)


def built(side=65):
    return build_model(ModelConfig(depth_multiplier=0.25, crop_size=(side, side)), (side, side, 3))


@pytest.fixture(scope="module")
def network():
    return built()


def training(batch, parts=1, **run):
    return TrainConfig(
        train_logdir="run", dataset_dir="shards", train_batch_size=batch, train_crop_size=(65, 65),
        optimizer=OptimizerConfig(gradient_accumulation_steps=parts), run=RunConfig(**run),
    )  # fmt: skip


BFLOAT16 = ", or --mixed_precision=bfloat16"


@pytest.mark.parametrize(
    ("batch", "parts", "replicas", "fitting", "expected"),
    [
        (16, 1, 1, 12, "about 12 images would: --train_batch_size=12, or --gradient_accumulation_steps=2"),
        (16, 1, 1, 5, "about 5 images would: --train_batch_size=5, or --gradient_accumulation_steps=4"),
        (16, 2, 1, 3, "about 6 images would: --train_batch_size=6, or --gradient_accumulation_steps=8"),
        (16, 1, 2, 7, "about 14 images would: --train_batch_size=14, or --gradient_accumulation_steps=2"),
        (15, 1, 1, 8, "about 8 images would: --train_batch_size=8, or --gradient_accumulation_steps=3"),
        (16, 1, 1, 20, "about 8 images would: --train_batch_size=8, or --gradient_accumulation_steps=2"),
        (16, 1, 1, None, "about 8 images would: --train_batch_size=8, or --gradient_accumulation_steps=2"),
        (1, 1, 1, 3, "not even one image at a time would: a smaller --train_crop_size"),
        (8, 1, 1, 0, "not even one image at a time would: a smaller --train_crop_size"),
    ],
)
def test_training_is_told_what_would_fit(network, batch, parts, replicas, fitting, expected):
    image, always = cost.bytes_to_train(network)
    size = None if fitting is None else always + image * fitting + image // 2
    told = advice.less_memory(training(batch, parts), network, replicas, size)
    assert told == expected + BFLOAT16
    for option in told.partition(": ")[2].split(", or "):
        name, _equals, value = option.partition("=")
        if name == "--gradient_accumulation_steps":
            training(batch, int(value))  # a value that the configuration takes
            assert batch // replicas % int(value) == 0
    assert BFLOAT16 not in advice.less_memory(training(batch, parts, mixed_precision="bfloat16"), network, 1, size)
    assert "keeps its options" in advice.less_memory(training(batch, parts), network, 1, size, resumes=True)


def test_training_names_batch_and_crop():
    assert advice.batch_and_crop(training(8)) == "train_batch_size=8 with train_crop_size=65,65"
    assert advice.batch_and_crop(training(8, 2)).endswith("train_crop_size=65,65 and gradient_accumulation_steps=2")


def test_memory_grows_with_the_crop_and_halves_in_bfloat16(network):
    image, always = cost.bytes_to_train(network)
    larger, same = cost.bytes_to_train(built(129))
    assert 3.5 < larger / image < 4.5
    assert same == always > 4 * 4 * cost.count_parameters(network)
    devices.set_precision("bfloat16")
    try:
        half, same = cost.bytes_to_train(built())
    finally:
        devices.set_precision("none")
    assert 0.45 < half / image < 0.65
    assert same == always


def test_training_ends_with_one_line(tmp_path, monkeypatch, shortest_mobilenet):
    monkeypatch.setattr(loop.StepRunner, "run", raising(LACKS[0]))
    config = TrainConfig(
        train_logdir=str(tmp_path), dataset_dir=small_training.shards(), train_batch_size=4, train_crop_size=(33, 33),
        model={"depth_multiplier": 0.25},
    )  # fmt: skip
    with pytest.raises(UserError) as told:
        train.train(config)
    assert re.fullmatch(
        r"train_batch_size=4 with train_crop_size=33,33: does not fit into the memory of this machine \([\d.]+ GiB\); "
        r"about 2 images would: --train_batch_size=2, or --gradient_accumulation_steps=2, or "
        r"--mixed_precision=bfloat16 \(OOM when allocating tensor with shape\[16,513,513,64\] .*\)",
        str(told.value),
    )


ONE = "--tile_size=513,513 needs less"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"eval_batch_size": 4}, "--eval_batch_size=2 needs about half of that"),
        ({}, ONE),
        ({"passes": PassesConfig((0.5, 1.75))}, "--tile_size=513,513, or no --eval_scales above 1 needs less"),
        ({"tiles": TilesConfig((65, 65))}, "a smaller --tile_size, or --notile_shared_context needs less"),
        ({"tiles": TilesConfig((65, 65), 8, False)}, "a smaller --tile_size needs less"),
    ],
)
def test_eval_is_told_what_needs_less(options, expected, monkeypatch):
    split = types.SimpleNamespace(dataset=catalog.Dataset("fake", 3))
    loaded = types.SimpleNamespace(checkpoint="run/a", step=1, folder="run", config=ModelConfig(num_classes=3))
    predictor = types.SimpleNamespace(split=split, crop_size=None, describe=lambda count: f"{count} of 9x9")
    monkeypatch.setattr(candidates, "restore_split_predictor", lambda *_: (loaded, predictor))
    monkeypatch.setattr(candidates, "_split_facts", lambda *_: {"split": "val", "dataset": "fake", "num_images": 5})
    monkeypatch.setattr(candidates.pipeline, "refuse_unlabelled", lambda split: None)
    for name in ("score", "score_in_tiles"):
        monkeypatch.setattr(candidates.scoring, name, raising(LACKS[0]))
    config = EvalConfig(checkpoint_dir="run", dataset_dir="shards", **options)
    (candidate,) = candidates.open_candidates(config)
    with pytest.raises(UserError) as told:
        candidate.score(())
    assert str(told.value).startswith(f"{config.eval_batch_size} of 9x9: does not fit into the memory of this machine")
    assert f"; {expected} (OOM when" in str(told.value)


def test_vis_is_told_what_needs_less(monkeypatch, tmp_path):
    split = type("Split", (), {"dataset": catalog.Dataset("fake", 3), "__len__": lambda self: 5})()
    predictor = types.SimpleNamespace(split=split, describe=lambda count: f"{count} of 9x9")
    monkeypatch.setattr(draw, "restore_split_predictor", lambda *_: (None, predictor))
    monkeypatch.setattr(draw, "predicted_images", raising(LACKS[0]))
    base = {"checkpoint_dir": "run", "dataset_dir": "shards", "vis_logdir": str(tmp_path)}
    for count, expected in ((4, "4 of 9x9: .*--vis_batch_size=2"), (1, "1 of 9x9: .*predict --tile_size=513,513")):
        with pytest.raises(UserError, match=expected):
            draw.visualize(VisConfig(**base, vis_batch_size=count))


def test_predict_goes_on_with_the_next_file(monkeypatch, tmp_path, capsys):
    def segment(image):
        if image.shape[0] > 40:
            raise LACKS[0]
        return image[..., 0] // 100

    network = predict.opening.Opened(segment, None, catalog.Dataset("fake", 3), {"step": 5})
    monkeypatch.setattr(predict.opening, "open_checkpoint", lambda config: network)
    fake_data.save(fake_data.image(48, 64), tmp_path / "in" / "a.png")
    fake_data.save(fake_data.image(33, 40), tmp_path / "in" / "b.png")
    config = PredictConfig(checkpoint_dir="run", input=str(tmp_path / "in"), output=str(tmp_path / "out"))
    assert predict.predict(config) == predict.EXIT_SOME_FAILED
    assert f"a.png: needs more memory than there is; {ONE} (OOM when" in capsys.readouterr().err
    assert (tmp_path / "out" / "b.png").exists()


def test_an_export_is_not_blamed_for_it(monkeypatch):
    monkeypatch.setattr(export, "ExportedModule", lambda *_, **__: None)
    monkeypatch.setitem(export.FORMATS, "onnx", types.SimpleNamespace(reader=lambda folder: raising(LACKS[0])))
    config, loaded = types.SimpleNamespace(format="onnx", resize=None), types.SimpleNamespace(dataset=None)
    network = types.SimpleNamespace(config=config, input_size=None, loaded=loaded)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        export._agreement("folder", None, network, [None])


class Lacking:
    """An export that always runs out of memory."""

    path, card, signatures = "exports/1", {}, {}
    run = staticmethod(raising(LACKS[2]))

    def dataset(self):
        return catalog.Dataset("fake", 3)


def test_a_server_answers_that_it_has_no_memory_and_does_not_start_without(monkeypatch):
    monkeypatch.setattr(served.exports, "load", lambda path: Lacking())
    model = served.ServedModel("exports/1", 1)  # without a signature there is nothing to warm up
    with pytest.raises(served.Refusal) as refused:
        model.run("serving_default", {})
    assert refused.value.status == 503
    spec = types.SimpleNamespace(dtype="uint8", shape=(None, None, None, 3))
    monkeypatch.setattr(Lacking, "signatures", {"serving_default": types.SimpleNamespace(inputs={"images": spec})})
    with pytest.raises(UserError, match=r"^exports/1 with an image of 65x65 pixels: does not fit .* or --crop_size"):
        served.ServedModel("exports/1", 1)
