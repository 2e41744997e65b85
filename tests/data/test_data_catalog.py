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
    counts = range(catalog.CATALOG[name].num_classes)
    dataset = dataclasses.replace(
        catalog.CATALOG[name],
        class_histogram={"train": counts},
        class_image_pixels={"train": counts},
        mean_size=(10.5, 20),
    )
    catalog.save(dataset, str(tmp_path))
    assert catalog.load(str(tmp_path), "ade20k") == dataset  # the file wins


def test_ids_and_colours_of_the_label_files_are_kept(tmp_path):
    dataset = catalog.Dataset("a", 2, source_ids=[7, 300], source_colors=[[1, 2, 3], [4, 5, 6]])
    catalog.save(dataset, str(tmp_path))
    found = catalog.load(str(tmp_path))
    assert (found.source_ids, found.source_colors) == ((7, 300), ((1, 2, 3), (4, 5, 6)))
    text = '{"name": "a", "num_classes": 2, "source_ids": null, "source_colors": null}'
    assert catalog.from_json(text, "file") == catalog.Dataset("a", 2)
    for options in ({"source_ids": (1,)}, {"source_ids": (1, 70000)}, {"source_colors": ((1, 2, 300), (0, 0, 0))}):
        with pytest.raises(UserError, match="source_"):
            catalog.Dataset("a", 2, **options)


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


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("car", "road", "sky"), [2, 0, 1]),
        ((" SKY", "tree", "Road", "tree"), [1, None, 0, None]),
        (("class 0", "sky"), [None, 1]),  # an unknown name is no other class's name
    ],
)
def test_classes_of_the_same_name_are_found(names, found):
    dataset = catalog.Dataset("own", len(names), class_names=names)
    assert catalog.same_classes(dataset, catalog.Dataset("other", 3, class_names=ROAD_SKY_CAR)) == found
    assert catalog.same_classes(dataset, catalog.Dataset("nameless", 3)) == [None] * len(names)


ROAD_SKY_CAR = ("road", "sky", "car")


@pytest.mark.parametrize(
    ("count", "names", "difference"),
    [
        (3, ROAD_SKY_CAR, ""),
        (3, (" Road", "SKY ", "car"), ""),
        (3, (), ""),
        (3, ("road", "class 1", "car"), ""),  # what stands in the card of an export for a class without a name
        (2, ("road", "sky"), "3 classes, not 2"),
        (2, (), "3 classes, not 2"),
        (3, ("road", "tree", "car"), "other classes: class 1 is 'sky', not 'tree'"),
        (3, ("class 0", "tree", "bus"), "other classes: class 1 is 'sky', not 'tree', and 1 more differ"),
        (
            3,
            ("sky", "car", "Road"),
            "the same classes in another order: class 0 is 'road', not 'sky', and 2 more differ",
        ),
    ],
)
def test_classes_are_compared_by_number_and_name(count, names, difference):
    first, second = catalog.Dataset("a", 3, class_names=ROAD_SKY_CAR), catalog.Dataset("b", count, class_names=names)
    assert catalog.class_difference(first, second) == difference
    assert bool(catalog.class_difference(second, first)) == bool(difference)
    if difference:
        with pytest.raises(UserError, match=r"^net does not predict the classes of b in shards: [^\n]+ trained on"):
            catalog.require_same_classes(first, second, "net", "shards")
