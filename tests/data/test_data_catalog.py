"""Data sets: the published facts, the reference's colours, dataset.json."""

import dataclasses

import numpy as np
import pytest

from deeplab.data import catalog
from deeplab.errors import UserError
from helpers.pipeline_goldens import load


@pytest.mark.parametrize(
    ("golden", "name"), [("pascal", "pascal_voc_seg"), ("cityscapes", "cityscapes"), ("ade20k", "ade20k")]
)
def test_colormaps_are_the_references(golden, name):
    expected = load("colormaps")[1][golden][:256]
    np.testing.assert_array_equal(catalog.label_colormap(catalog.CATALOG[name])[: len(expected)], expected)


@pytest.mark.parametrize("name", catalog.CATALOG)
def test_every_class_has_a_name_of_its_own_and_a_color(name):
    dataset = catalog.CATALOG[name]
    assert len(set(dataset.class_names)) == dataset.num_classes == len(dataset.colors)


@pytest.mark.parametrize("name", catalog.CATALOG)
def test_dataset_json_holds_everything(name, tmp_path):
    dataset = dataclasses.replace(catalog.CATALOG[name], mean_size=(10.5, 20))
    catalog.save(dataset, str(tmp_path))
    assert catalog.load(str(tmp_path), "ade20k") == dataset  # the file wins


def test_without_file_the_catalogue_answers(tmp_path):
    assert catalog.load(str(tmp_path)).name == "pascal_voc_seg"
    assert catalog.load(str(tmp_path), "cityscapes").num_classes == 19
    with pytest.raises(UserError, match="--dataset=nonsense: expected one of pascal_voc_seg"):
        catalog.load(str(tmp_path), "nonsense")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"name": 1}', '{"name": "x", "num_classes": 2, "class_names": ["a"]}', '{"format": 99}']
)
def test_a_broken_dataset_json_is_one_line(text, tmp_path):
    (tmp_path / catalog.FILE).write_text(text)
    with pytest.raises(UserError, match=r"dataset\.json: [^\n]+$"):
        catalog.load(str(tmp_path))
