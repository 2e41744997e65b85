"""How large the images of a training are: what builders record, and what is read where nothing is recorded."""

import dataclasses
import json

import numpy as np
import pytest

import deeplab
from deeplab.config.data import ResizeConfig
from deeplab.data import catalog, source
from deeplab.data.building import builder, label_rules
from deeplab.evaluation import batches
from helpers import fake_data

DATASET = catalog.Dataset("fake", 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns shards of the split train with an upright and a lying image, and of the split val."""
    root = tmp_path_factory.mktemp("data")
    rules, config = label_rules.LabelRules(3), fake_data.BuildTo(str(root / "shards"))
    lying, upright = fake_data.folders(root / "a", 1, size=(40, 64)), fake_data.folders(root / "b", 1, size=(52, 33))
    upright = [pair._replace(name="upright") for pair in upright]
    builder.build({"train": lying + upright}, DATASET, rules, config)
    builder.build({"val": fake_data.folders(root / "c", 1, size=(20, 30))}, DATASET, rules, config)
    return config.output_dir


def test_builders_record_the_largest_size_of_every_split(folder):
    assert catalog.load(folder).largest_sizes == {"train": (52, 64), "val": (20, 30)}


@pytest.mark.parametrize(
    ("resize", "expected"),
    [(ResizeConfig(), (52, 64)), (ResizeConfig(20), (31, 32)), (ResizeConfig(20, 25), (25, 25))],
)
def test_the_size_is_recorded_or_read_from_headers(folder, resize, expected):
    split = source.open_split(folder, "train")
    forgotten = dataclasses.replace(split, dataset=dataclasses.replace(split.dataset, largest_sizes={}))
    assert batches.trained_size(split, resize) == batches.trained_size(forgotten, resize) == expected


def test_damaged_records_are_passed_over(folder):
    split = source.open_split(folder, "val")
    damaged = np.vstack([split.index, split.index - [0, 5, 0]])
    split = dataclasses.replace(split, dataset=DATASET, index=damaged)
    assert batches.trained_size(split, ResizeConfig()) == (20, 30)
    split = dataclasses.replace(split, index=damaged[1:])
    assert batches.trained_size(split, ResizeConfig()) is None


@pytest.mark.parametrize("size", [[3], [0, 4], "ab", 7])
def test_an_edited_record_is_refused(size):
    text = json.dumps({"name": "a", "num_classes": 2, "largest_sizes": {"train": size}})
    with pytest.raises(deeplab.UserError, match=r"^shards/dataset.json: "):
        catalog.from_json(text, "shards/dataset.json")
