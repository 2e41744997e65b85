"""The table of what a folder holds, and what is refused before anything is built."""

import numpy as np
import pytest

from deeplab.data import catalog
from deeplab.data.building import builder, found_table, listing, survey
from deeplab.data.building.class_lists.rows import ClassList
from deeplab.data.building.label_rules import LabelRules
from deeplab.errors import UserError
from deeplab.programs.builders import folder
from helpers import fake_data


def found(root, classes=None, **changes):
    pairs = fake_data.folders(root, 3, size=(12, 16))
    images, labels = {pair.name: pair.image for pair in pairs}, {pair.name: pair.label for pair in pairs}
    seen = survey.inspect(sorted(labels.values()))
    return found_table.Found(images, labels, {"train": pairs}, seen, classes)._replace(**changes)


def test_the_table_tells_files_sizes_splits_and_classes_with_shares(tmp_path):
    classes = ClassList(("road", "tree", "sky", "wall"))
    text = found_table.text(found(tmp_path, classes))
    assert text.splitlines() == [
        "files    3 images (3 .jpg), 3 labels (3 .png), all in pairs",
        "labels   3 images of one channel; 4 values (3 looked at)",
        "sizes    16x12 (width x height)",
        "splits   train 3",
        "classes  in labels   name                      pixels  files",
        "         0           road                      30.56%  3",
        "         1           tree                      30.56%  3",
        "         2           sky                       30.56%  3",
        "         3           wall                       0.00%  0",
        "         255         (does not count)           8.33%  3",
        "odd      do not occur in the labels looked at: wall",
    ]


def test_what_is_odd_is_told(tmp_path):
    one = found(tmp_path, ClassList(("road", "tree")))
    small = fake_data.save(np.zeros((6, 8), np.uint8), tmp_path / "labels" / "img_0.png")
    lone = listing.Pair("x", str(tmp_path / "x.jpg"), None)
    seen = survey.inspect(sorted(one.labels.values()))
    text = found_table.text(one._replace(splits={"val": [*one.splits["train"], lone]}, seen=seen))
    for line in (
        f"1 images without label, such as {lone.image}",
        f"1 labels of 3 have another size than their image: {small} is 8x6, its image 16x12; see --resize_masks",
        "1 values in the labels have no class name: 2 (",
        "no split is for training",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "--num_classes=1: with one class there is nothing to learn"),
        ({"class_names": "road"}, "--class_names=road: with one class there is nothing to learn"),
        (
            {"class_names": "a,b,c", "ignore_label": 2},
            "--ignore_label=2: is also the number of the class 'c'; choose one",
        ),
        ({"class_names": "a,b,c", "ignore_values": (1,)}, "--ignore_values=1: is also the value of a class"),
        ({"class_names": "a=4,b=7", "ignore_values": (7,)}, "--ignore_values=7: is also the value of a class"),
        ({"class_names": "a=#000000,b=#010203", "ignore_colors": (1, 2, 3)}, "ignore_colors=.*that no class has"),
        ({"num_classes": 256}, "num_classes=256: expected at most 255"),
        ({"num_classes": 300}, "num_classes=300: expected 2 to 255"),
        ({"class_names": "a=4,b=7", "reduce_zero_label": True}, "reduce_zero_label=True: expected no such flag beside"),
        ({"class_names": "a,b,c", "group_by": "."}, "group_by='.': expected --val_fraction, --folds or several splits"),
    ],
)
def test_classes_that_cannot_be_are_refused(options, message, tmp_path):
    fake_data.folders(tmp_path, 2, size=(12, 16))
    with pytest.raises(UserError, match=message):
        folder.build_folder_data(
            folder.FolderConfig(folder=str(tmp_path), output_dir=str(tmp_path / "out"), num_workers=1, **options)
        )
    assert not (tmp_path / "out").exists()


def test_splits_whose_labels_call_the_classes_otherwise_do_not_share_a_folder(tmp_path):
    config = fake_data.BuildTo(str(tmp_path / "out"))
    pairs = fake_data.folders(tmp_path, 2, size=(12, 16))
    dataset = catalog.Dataset("fake", 3, source_ids=(1, 2, 3))
    builder.build({"train": pairs}, dataset, LabelRules(3), config)
    assert catalog.load(config.output_dir).source_ids == (1, 2, 3)
    other = catalog.Dataset("fake", 3, source_ids=(1, 2, 4))
    with pytest.raises(UserError, match=r"has source_ids=\(1, 2, 3\), this build \(1, 2, 4\)"):
        builder.build({"val": pairs}, other, LabelRules(3), config)
