"""Damaged and replaced shards: every flipped bit is noticed, and the message names the shard and the record."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.data import AugmentConfig
from deeplab.data import checksums, pipeline, records, shard_state, tfrecord
from deeplab.data.building import linter
from deeplab.data.pipeline import Batches, train_batches
from deeplab.data.source import open_split, open_splits
from deeplab.errors import UserError
from helpers import fake_data

PLACES = {  # where a bit flips: (offset from the beginning of the record's content, counted from its end?)
    "length": (-12, False),
    "its checksum": (-2, False),
    "the first byte": (0, False),
    "the last byte": (-1, True),
    "the checksum of the bytes": (2, True),
}


@pytest.fixture
def split(tmp_path):
    """A split of six records in two shards."""
    return open_split(fake_data.shards(tmp_path, {"train": 6}), "train")


def flip(split, number, place):
    """Flips a bit of record `number`; returns (name of its shard, its number there)."""
    shard, offset, length = map(int, split.index[number])
    at, from_end = PLACES[place]
    path = pathlib.Path(split.paths[shard])
    content = bytearray(path.read_bytes())
    content[offset + at + (length if from_end else 0)] ^= 4
    path.write_bytes(content)
    return path.name, number - int(np.sum(split.index[:, 0] < shard))


def read(dataset, split):
    with records.reading(split):
        return list(dataset)


def readers(split):
    batches = Batches((33, 33), 2, (127.5, 127.5, 127.5))
    return pipeline.eval_examples(split), train_batches(split, AugmentConfig(), batches).take(6)


@pytest.mark.parametrize("length", [0, 1, 255, 65_536, 2**40, 2**64 - 1])
def test_checksums_of_lengths_are_tensorflows(length, tmp_path):
    content = length.to_bytes(8, "little")
    with tf.io.TFRecordWriter(str(tmp_path / "one")) as writer:
        writer.write(content)  # the writer's checksum of the bytes of a record, which are a length here
    assert checksums.of_length(content).to_bytes(4, "little") == (tmp_path / "one").read_bytes()[-4:]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", [1, 5])
def test_a_bit_that_flips_after_the_split_was_opened_is_named(split, place, number):
    shard, record = flip(split, number, place)
    for dataset in readers(split):
        with pytest.raises(UserError, match=f"{shard}: damaged in record {record} ") as error:
            read(dataset, split)
        assert "\n" not in str(error.value)
        assert "copy the file again or build the split again" in str(error.value)


@pytest.mark.parametrize("place", ["length", "its checksum"])
def test_a_damaged_length_is_named_when_the_split_is_opened(split, place):
    shard, record = flip(split, 4, place)
    with pytest.raises(UserError, match=f"{shard}: damaged in record {record} .*its length does not fit"):
        open_split(split.folder, "train")


def test_the_linter_finds_all_damaged_records(split):
    places = [flip(split, number, "the first byte") for number in (0, 2, 4)]
    found = linter.lint(split.folder, split.dataset, 0)
    for shard, record in places:
        assert sum(f"{shard}: damaged in record {record} " in problem for problem in found.problems) == 1
    assert found.counts == {"train": 3}


def other_shards(tmp_path, count=6):
    """Returns {name: bytes} of shards with `count` other images."""
    folder = pathlib.Path(fake_data.shards(tmp_path / "other", {"train": count}, size=(50, 60)))
    return {path.name: path.read_bytes() for path in sorted(folder.glob("train-*"))}


@pytest.mark.parametrize("change", ["replaced", "cut", "appended", "emptied"])
def test_shards_that_change_while_they_are_read(split, tmp_path, change):
    path = pathlib.Path(split.paths[0])
    whole = path.read_bytes()
    first = split.index[0]
    another = other_shards(tmp_path)[path.name]
    path.write_bytes(
        {"replaced": another, "cut": whole[: first[1] + 20], "appended": whole + whole, "emptied": b""}[change]
    )
    message = {"cut": "damaged or cut off in record 0"}.get(change, "was replaced or changed while this program read")
    with pytest.raises(UserError, match=f"{path.name}: {message}"):
        read(pipeline.eval_examples(split), split)


def test_a_shard_that_was_copied_again_is_the_same(split):
    for path in split.paths:
        whole = pathlib.Path(path).read_bytes()
        os.remove(path)
        pathlib.Path(path).write_bytes(whole)
    assert len(read(pipeline.eval_examples(split), split)) == 6
    shard_state.refuse_changed(split.states)


def test_a_record_that_is_exchanged_for_one_of_the_same_length(split):
    """Nothing is damaged then, and the index fits: only the checksums of all records tell."""
    path = pathlib.Path(split.paths[1])
    raws = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    raws[1] = raws[1].replace(b"img_4", b"img_7")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for raw in raws:
            writer.write(raw)
    assert np.array_equal(tfrecord.index(split.paths), split.index)
    with pytest.raises(UserError, match=f"{path.name}: was replaced or changed"):
        shard_state.refuse_changed(split.states)


def test_joined_splits_know_the_states_of_all_shards(tmp_path):
    folder = fake_data.shards(tmp_path, {"train": 3, "val": 2})
    both = open_splits(folder, ["train", "val"])
    assert [state.path for state in both.states] == list(both.paths)
    assert sum(state.records for state in both.states) == len(both)
