"""TFDS: our folders open with it, and its data sets open with ours. The data set is built by the test."""

import dataclasses

import numpy as np
import pytest
import tensorflow_datasets as tfds

from deeplab import cli
from deeplab.config.data import AugmentConfig, ReadConfig
from deeplab.config.inference import EvalConfig
from deeplab.config.training import TrainConfig
from deeplab.data import catalog
from deeplab.data.pipeline import Batches, eval_examples, train_batches
from deeplab.data.source import open_split, open_splits
from deeplab.errors import UserError
from deeplab.eval import evaluate
from deeplab.files import locks
from deeplab.train import train
from helpers import fake_data


class StripedScenes(tfds.core.GeneratorBasedBuilder):
    """Six images with masks 1, 2, 3 (and 0: unlabelled), as oxford_iiit_pet stores them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        for i in range(count):
            mask = fake_data.label(seed=i, ignore=255) + 1  # wraps: the frame becomes 0
            yield i, {"image": fake_data.image(seed=i), "segmentation_mask": mask[..., None], "file_name": f"scene_{i}"}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    StripedScenes(data_dir=folder).download_and_prepare()
    return ReadConfig(tfds_data_dir=folder, tfds_num_classes=3, label_offset=-1)


def test_masks_become_labels(read):
    split = open_split("", "train", "tfds:striped_scenes:test", read)
    assert (len(split), split.dataset.num_classes, split.dataset.splits) == (2, 3, {"test": 2, "train": 4})
    for example in eval_examples(split):
        seed = int(example["filename"].numpy().decode().removeprefix("scene_"))
        np.testing.assert_array_equal(example["label"], fake_data.label(seed=seed))
        assert example["image"].shape == (48, 64, 3)


OTHERWISE = {  # option: another value
    "label_offset": 0,
    "ignore_label": 1,
    "tfds_num_classes": 5,
    "tfds_data_dir": "elsewhere",
    "tfds_image": "segmentation_mask",
    "tfds_label": "image",
}


def opened(read):
    """Returns the data set and the labels of its first image, or the refusal."""
    try:
        split = open_split("", "train", "tfds:striped_scenes", read)
    except UserError as error:
        return str(error)
    example = next(iter(eval_examples(split, checked=False)))
    return catalog.to_json(split.dataset), split.paths, example["label"].numpy().tobytes()


def test_every_option_of_reading_changes_what_is_read(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = opened(read)
    for name, value in OTHERWISE.items():
        assert opened(dataclasses.replace(read, **{name: value})) != plain, name


def test_trains_on_a_part(read):
    split = open_split("", "train[25%:75%]", "tfds:striped_scenes", read)
    assert len(split) == 2
    images, labels, names = next(iter(train_batches(split, AugmentConfig(), Batches((33, 33), 2, (127.5,) * 3))))
    assert (images.shape, len(set(names.numpy()))) == ((2, 33, 33, 3), 2)
    assert set(np.unique(labels)) <= {0, 1, 2, 255}


def test_several_splits_are_one(read):
    assert len(open_splits("", ("train[:50%]", "test"), "tfds:striped_scenes", read)) == 4
    with pytest.raises(UserError, match="names a split, which does not go with several"):
        open_splits("", ("train", "test"), "tfds:striped_scenes:test", read)


@pytest.mark.slow
def test_trains_and_evaluates(read, tmp_path, capsys):
    flags = ["--dataset=tfds:striped_scenes", f"--tfds_data_dir={read.tfds_data_dir}"]
    flags += ["--tfds_num_classes=3", "--label_offset=-1"]
    small = ["--train_crop_size=33,33", "--train_batch_size=2", "--depth_multiplier=0.25"]
    steps = ["--training_number_of_steps=2", f"--train_logdir={tmp_path}"]
    train(cli.read(TrainConfig, ["train", *flags, *small, *steps]))
    locks.release(str(tmp_path))
    evaluate(cli.read(EvalConfig, ["eval", *flags, f"--checkpoint_dir={tmp_path}", "--eval_split=test"]))
    assert "miou" in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "tfds:striped_scenes:dev",
            {},
            "split 'dev' does not exist in tfds:striped_scenes: expected one of train, test",
        ),
        ("tfds:no_such_scenes", {}, "tfds:no_such_scenes: cannot be opened"),
        ("tfds:striped_scenes", {"tfds_num_classes": None}, "--tfds_num_classes is not given"),
        ("tfds:striped_scenes", {"tfds_label": "masks"}, "has the images image, segmentation_mask"),
    ],
)
def test_what_cannot_be_is_named(read, name, options, message):
    with pytest.raises(UserError, match=message):
        open_split("", "train", name, dataclasses.replace(read, **options))


def test_built_folders_open_with_tfds(tmp_path):
    folder = fake_data.shards(tmp_path, {"train": 5, "val": 2})
    builder = tfds.builder_from_directory(folder)
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {"train": 5, "val": 2}
    examples = list(builder.as_dataset(split="train"))
    names = [e["image"]["filename"].numpy().decode() for e in examples]
    assert names == [f"img_{i}" for i in range(5)]
    label = examples[3]["image"]["segmentation"]["class"]["encoded"][..., 0]
    np.testing.assert_array_equal(label, fake_data.label(seed=3))
