"""Checkpoints are complete or absent, whatever happens while they are written."""

import numpy as np
import pytest
import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.errors import UserError

VALUES = {"Conv/weights": np.arange(6, dtype=np.float32).reshape(2, 3), "global_step": np.int64(7)}


def test_read_returns_what_was_written(tmp_path):
    prefix = bundle.prefix_for(str(tmp_path), 7)
    bundle.write(prefix, VALUES)
    values = bundle.read(prefix)
    assert sorted(values) == sorted(VALUES)
    for name, value in VALUES.items():
        np.testing.assert_array_equal(values[name], value)
        assert values[name].dtype == np.asarray(value).dtype
    assert tf.train.latest_checkpoint(str(tmp_path)) == prefix


def test_newest_is_by_step_not_by_name(tmp_path):
    for step in (900, 1000, 20):
        bundle.write(bundle.prefix_for(str(tmp_path), step), VALUES)
    assert [bundle.step_of(prefix) for prefix in bundle.prefixes(str(tmp_path))] == [20, 900, 1000]
    assert bundle.latest(str(tmp_path)) == str(tmp_path / "model.ckpt-1000")
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-1000")


def test_prune_keeps_the_newest_and_removes_unfinished_files(tmp_path):
    for step in range(4):
        bundle.write(bundle.prefix_for(str(tmp_path), step), VALUES)
    (tmp_path / "unfinished-model.ckpt-4.data-00000-of-00001").write_bytes(b"half")
    bundle.prune(str(tmp_path), keep=2)
    assert [bundle.step_of(prefix) for prefix in bundle.prefixes(str(tmp_path))] == [2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint",
        "model.ckpt-2.data-00000-of-00001",
        "model.ckpt-2.index",
        "model.ckpt-3.data-00000-of-00001",
        "model.ckpt-3.index",
    ]


def test_a_checkpoint_without_data_or_index_does_not_exist(tmp_path):
    bundle.write(bundle.prefix_for(str(tmp_path), 1), VALUES)
    (tmp_path / "model.ckpt-2.data-00000-of-00001").write_bytes(b"data without index")
    (tmp_path / "model.ckpt-3.index").write_bytes(b"index without data")
    (tmp_path / "unfinished-model.ckpt-4.index").write_bytes(b"being written")
    assert bundle.latest(str(tmp_path)) == str(tmp_path / "model.ckpt-1")
    assert bundle.latest(str(tmp_path / "nowhere")) is None


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damage_is_named(tmp_path, suffix, damage):
    prefix = bundle.prefix_for(str(tmp_path), 7)
    bundle.write(prefix, {"weights": np.ones(1000, np.float32)})
    path = tmp_path / ("model.ckpt-7" + suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.raises(UserError, match=r"model\.ckpt-7"):
        bundle.read(prefix)


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        bundle.read(str(tmp_path / "model.ckpt-1"))
