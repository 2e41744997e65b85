"""--precision=auto: what chooses, what is said, and what is written."""

import types
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deeplab import UserError, devices
from deeplab.config.export import ExportConfig
from deeplab.exporting import precision
from deeplab.inference import export_folder
from deeplab.programs import export
from helpers import small_export

YES, NO = devices.Bfloat16(True, "this processor computes in it (amx_bf16)"), devices.Bfloat16(False, "it cannot")


class Case(NamedTuple):
    """What is found out about a network, and what follows."""

    chosen: str
    reason: str
    support: devices.Bfloat16 = YES
    different: int = 0  # labels of 1,000
    milliseconds: tuple[float, float] | None = (58.2, 96.7)  # bfloat16, float32; None: not measured
    dataset_dir: str | None = None


GENERATED = "{} % of the labels of 2 generated images are the same"
CASES = [
    Case("float32", "it cannot", support=NO, milliseconds=None),
    Case("bfloat16", f"{YES.told}, {GENERATED.format('100.00')}, and an image takes 58 ms in place of 97 ms"),
    Case("bfloat16", f"{YES.told}, {GENERATED.format('99.50')}, and an image takes 58 ms in place of 97 ms",
         different=5),
    Case("float32", f"only {GENERATED.format('99.40')} in bfloat16, less than 99.5 %", different=6, milliseconds=None),
    Case("float32", "only 99.40 % of the labels of 2 images of val are the same in bfloat16, less than 99.5 %",
         different=6, milliseconds=None, dataset_dir="shards"),
    Case("float32", "an image takes 96 ms in bfloat16 and 97 ms in float32", milliseconds=(96.0, 97.0)),
    Case("float32", "an image takes 300 ms in bfloat16 and 97 ms in float32", milliseconds=(300.0, 97.0)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bfloat16_is_chosen_where_the_device_the_labels_and_the_time_allow_it(case, monkeypatch):
    expected, found = np.zeros((1, 10, 100), np.int32), np.zeros((1, 10, 100), np.int32)
    found.flat[: case.different] = 1
    config = types.SimpleNamespace(resize=None, dataset_dir=case.dataset_dir, split="val")
    made, measured = [], []

    def make(kind):
        made.append(kind)
        return types.SimpleNamespace(config=config, input_size=None, loaded=small_export.loaded())

    segment = lambda _images: [types.SimpleNamespace(numpy=lambda: expected[0])]  # noqa: E731
    monkeypatch.setattr(precision, "ExportedModule", lambda *_, **__: types.SimpleNamespace(segment=segment))
    monkeypatch.setattr(precision, "_labels_of", lambda network: lambda _image: found)
    monkeypatch.setattr(precision.trial_images, "of_size", lambda network, count: iter([None, None]))
    monkeypatch.setattr(precision, "_milliseconds", lambda *_: measured.append(1) or case.milliseconds)
    monkeypatch.setattr(devices, "bfloat16", lambda: case.support)
    choice = precision.choose(None, make)
    assert choice == (case.chosen, case.reason)
    assert str(choice) == f"precision=auto: {case.chosen}, because {case.reason}"
    assert bool(measured) is (case.milliseconds is not None)
    assert made == ["bfloat16", "float32"][: case.support.is_computed + bool(measured)]


def test_networks_take_turns_and_the_first_turns_do_not_count(monkeypatch):
    clock = iter(np.cumsum([0, 9, 0, 9, 0, 9, 0, 9] + [0, 0.002, 0, 0.003] * 3 + [0, 7, 0, 0.001] * 2))
    monkeypatch.setattr(precision, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    bar = types.SimpleNamespace(update=lambda: None)
    calls = []
    functions = [lambda image, name=name: calls.append(name + image) for name in "ab"]
    assert precision._milliseconds(functions, "x", bar) == pytest.approx([2, 3])
    assert calls == ["ax", "bx"] * 7


@pytest.mark.slow
@pytest.mark.parametrize("chosen", ["bfloat16", "float32"])
def test_an_export_computes_as_it_was_chosen_and_says_why(chosen, tmp_path, monkeypatch, capsys, short_mobilenet):
    """The labels of an untrained network are wild, so that they need not be the same here."""
    monkeypatch.setattr(precision, "LEAST_AGREEMENT", 0.0)
    monkeypatch.setitem(export._LEAST_AGREEMENT, "bfloat16", 0.0)
    monkeypatch.setattr(devices, "bfloat16", lambda: YES)
    monkeypatch.setattr(precision, "_milliseconds", lambda functions, image, bar: (
        [function(image).shape for function in functions] and ([1, 2] if chosen == "bfloat16" else [2, 1])
    ))  # fmt: skip
    monkeypatch.setattr(precision, "_IMAGES", 1)
    folder = small_export.run(tmp_path, verify=True, precision="auto", crop_size=(65, 65))
    said = capsys.readouterr().out
    card = export_folder.read_card(str(folder))
    assert card["precision"] == chosen
    assert f"precision=auto: {chosen}, because {card['precision_reason']}\n" in said
    assert "Verified: " in said
    assert (tf.bfloat16.as_datatype_enum in types_of_constants(folder)) is (chosen == "bfloat16")


def types_of_constants(folder):
    """Returns the types of all constants in the functions of a SavedModel: a set of TensorFlow's numbers of types."""
    saved = saved_model_pb2.SavedModel.FromString((folder / export_folder.GRAPH_FILE).read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    return {node.attr["dtype"].type for one in functions for node in one.node_def if node.op == "Const"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tflite"}, "precision='auto': expected float32 with this --format"),
        ({"fold_batch_norm": False}, "precision='auto': expected float32 with --nofold_batch_norm"),
        ({"verify": False}, "verify=False: expected True with --precision=auto, which compares the labels"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        ExportConfig(checkpoint_dir="here", export_path="there", precision="auto", **options)
