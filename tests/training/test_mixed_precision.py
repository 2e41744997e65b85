"""--mixed_precision=auto: what it stands for on a machine, and that a training keeps it."""

import json

import pytest
import tensorflow as tf

from deeplab import UserError, devices
from deeplab.config.training import RunConfig
from deeplab.files import locks
from deeplab.training import precision
from helpers import small_training
from helpers import tiny_training as tiny

YES = devices.Bfloat16(True, "this processor computes in it (amx_bf16)", "amx_bf16")
ARM = devices.Bfloat16(True, "this processor computes in it (bf16)", "bf16")
NO = devices.Bfloat16(False, "this processor does not compute in bfloat16 (oneDNN is off)")
STARTS = "because {}"
GOES_ON = "as this training did before (config.json)"
SLOWER = f"{GOES_ON}, although {NO.told} and a step takes longer"
CASES = [  # (what the machine has, type of the training that goes on, what is chosen, what is said)
    (YES, None, "bfloat16", STARTS.format(YES.told)),
    (NO, None, "none", STARTS.format(NO.told)),
    (ARM, None, "none", "because a step was never measured on a processor with bf16 alone; --mixed_precision=bfloat16 "
     "chooses it"),
    (devices.Bfloat16(True, "TPUs compute in it"), None, "bfloat16", "because TPUs compute in it"),
    (YES, "none", "none", GOES_ON),
    (NO, "none", "none", GOES_ON),
    (YES, "bfloat16", "bfloat16", GOES_ON),
    (NO, "bfloat16", "bfloat16", SLOWER),
    (NO, "float16", "float16", GOES_ON),
]  # fmt: skip


def settings(folder, kind="auto"):
    return tiny.config(train_logdir=str(folder), run=RunConfig(mixed_precision=kind))


def trained(folder, kind):
    """Leaves a training with a checkpoint in a folder, and lets go of it."""
    config = settings(folder, kind)
    small_training.begin(config, config.model_config(small_training.CLASSES), small_training.dataset())
    locks.release(str(folder))


@pytest.mark.parametrize(("support", "before", "chosen", "told"), CASES)
def test_the_machine_decides_once(support, before, chosen, told, tmp_path, monkeypatch, capsys):
    if before:
        trained(tmp_path, before)
    monkeypatch.setattr(devices, "bfloat16", lambda: support)
    config = precision.choose(settings(tmp_path), tf.distribute.get_strategy())
    assert config == settings(tmp_path, chosen)
    assert capsys.readouterr().out == f"mixed_precision=auto: {chosen}, {told}\n"
    trained(tmp_path, config.run.mixed_precision)  # the same options as before, or a UserError
    stored = json.loads((tmp_path / "config.json").read_text())["training"]["run"]
    assert stored["mixed_precision"] == chosen


def test_what_is_given_is_neither_changed_nor_told(tmp_path, monkeypatch, capsys):
    monkeypatch.delattr(devices, "bfloat16")  # nobody asks
    for kind in ("none", "bfloat16", "float16"):
        assert precision.choose(settings(tmp_path, kind), None) == settings(tmp_path, kind)
    assert not capsys.readouterr().out


def test_another_type_than_the_chosen_one_is_refused(tmp_path):
    trained(tmp_path, "bfloat16")
    with pytest.raises(UserError, match="mixed_precision was bfloat16, now none"):
        trained(tmp_path, "none")


def test_a_folder_without_a_checkpoint_decides_anew(tmp_path, monkeypatch):
    trained(tmp_path, "bfloat16")
    for path in tmp_path.glob("model.ckpt*"):
        path.unlink()
    monkeypatch.setattr(devices, "bfloat16", lambda: NO)
    assert precision.choose(settings(tmp_path), tf.distribute.get_strategy()).run.mixed_precision == "none"


def test_several_machines_may_differ(tmp_path, monkeypatch, capsys):
    class Several:
        cluster_resolver = None

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Several)
    monkeypatch.setattr(devices, "bfloat16", lambda: YES)
    for is_chief in (True, False):
        monkeypatch.setattr(devices, "is_chief", lambda strategy, is_chief=is_chief: is_chief)
        assert precision.choose(settings(tmp_path), Several()).run.mixed_precision == "none"
        told = "because several machines train, which may differ; --mixed_precision=bfloat16 chooses it\n"
        assert capsys.readouterr().out == f"mixed_precision=auto: none, {told}" * is_chief
