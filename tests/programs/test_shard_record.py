"""The shards of a training: what is written about them, and what becomes of one that is resumed on others."""

import json
import pathlib
import types

import pytest

from deeplab.checkpoints import bundle
from deeplab.data import shard_state
from deeplab.data.source import open_split
from deeplab.errors import UserError
from deeplab.programs import shard_record, train
from helpers import fake_data


@pytest.fixture
def shards(tmp_path):
    return pathlib.Path(fake_data.shards(tmp_path, {"train": 4}))


@pytest.fixture
def folder(shards, tmp_path):
    """A train_logdir with a checkpoint, whose training began on `shards`."""
    log = tmp_path / "log"
    log.mkdir()
    shard_record.remember(str(log), open_split(str(shards), "train"))
    bundle.write(bundle.prefix_for(str(log), 1), {"global_step": 1})
    return str(log)


def config(folder, cache=False):
    return types.SimpleNamespace(train_logdir=folder, input=types.SimpleNamespace(cache=cache))


def other(shards, tmp_path, count):
    """Puts shards of `count` other images in the place of `shards`."""
    made = pathlib.Path(fake_data.shards(tmp_path / "other", {"train": count}, size=(50, 60)))
    for path in made.glob("train-*"):
        path.replace(shards / path.name)


def test_the_same_shards_in_another_place_resume(shards, folder, tmp_path):
    moved = shards.rename(tmp_path / "moved")
    train.watch(config(folder), open_split(str(moved), "train"))()


@pytest.mark.parametrize(("count", "told"), [(4, "holds 2 records in"), (6, "holds 3 records in")])
def test_other_shards_are_refused_on_resume(shards, folder, tmp_path, count, told):
    other(shards, tmp_path, count)
    split = open_split(str(shards), "train")
    with pytest.raises(
        UserError, match=rf"shards\.json: .*train-00000-of-00002\.tfrecord {told}.* and 1 more"
    ) as error:
        train.watch(config(folder), split)
    assert "remove the file to go on with the shards as they are" in str(error.value)
    pathlib.Path(folder, shard_record.FILE).unlink()  # the way out
    train.watch(config(folder), split)


def test_a_shard_less_is_refused_on_resume(shards, folder):
    (shards / "train-00001-of-00002.tfrecord").unlink()
    (shards / "train-00000-of-00002.tfrecord").rename(shards / "train-00000-of-00001.tfrecord")
    with pytest.raises(UserError, match=r"2 shards then, 1 in "):
        train.watch(config(folder), open_split(str(shards), "train"))


def test_trainings_from_before_resume_and_are_recorded(shards, folder):
    pathlib.Path(folder, shard_record.FILE).unlink()
    split = open_split(str(shards), "train")
    train.watch(config(folder), split)
    shard_record.remember(folder, split)
    entries = json.loads(pathlib.Path(folder, shard_record.FILE).read_text())["splits"]["train"]
    assert [entry["name"] for entry in entries] == ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]
    assert [entry["records"] for entry in entries] == [2, 2]


def test_a_folder_without_a_checkpoint_takes_other_shards(shards, tmp_path):
    log = str(tmp_path / "empty")
    pathlib.Path(log).mkdir()
    shard_record.remember(log, open_split(str(shards), "train"))
    other(shards, tmp_path, 6)
    split = open_split(str(shards), "train")
    train.watch(config(log), split)
    shard_record.remember(log, split)
    assert json.loads(pathlib.Path(log, shard_record.FILE).read_text())["splits"]["train"][0]["records"] == 3


@pytest.mark.parametrize(
    "content", ["", "[]", '{"splits": 5}', '{"splits": {"train": [5]}}', '{"splits": {"train": [{"name": 5}]}}']
)
def test_a_damaged_record_is_named(shards, folder, content):
    pathlib.Path(folder, shard_record.FILE).write_text(content)
    with pytest.raises(UserError, match=r"shards\.json: not a record of shards .*remove it"):
        train.watch(config(folder), open_split(str(shards), "train"))


def test_shards_that_are_replaced_while_a_training_runs_keep_it_from_saving(shards, folder, tmp_path):
    split = open_split(str(shards), "train")
    check, cached = (train.watch(config(folder, cache), split) for cache in (False, True))
    check()
    other(shards, tmp_path, 4)
    with pytest.raises(UserError, match=r"train-00000-of-00002\.tfrecord: was replaced or changed while this program"):
        check()
    cached()  # its images are in memory


def test_a_shard_that_cannot_be_found_is_told_where_it_is_read(shards, folder):
    split = open_split(str(shards), "train")
    (shards / "train-00000-of-00002.tfrecord").unlink()
    shard_state.refuse_changed(split.states)


def test_the_loop_does_not_save_what_it_must_not(tmp_path):
    from deeplab.training.loop import TrainingLoop

    def refuse():
        raise UserError("other shards")

    saved = types.SimpleNamespace(save=lambda: pytest.fail("was saved"))
    loop = TrainingLoop(None, saved, None, None, before_saving=refuse)
    with pytest.raises(UserError, match="other shards"):
        loop._save()
