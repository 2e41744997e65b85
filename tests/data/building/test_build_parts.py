"""Parts of the builders: lists, classes, label formats, and what is left on disk when something fails."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from deeplab.config.builders import BuildConfig
from deeplab.data import catalog, source, tfrecord
from deeplab.data.building import builder, folders, label_rules, listing
from deeplab.data.building.bands.rules import ImageRules
from deeplab.data.building.label_rules import LabelRules
from deeplab.data.building.listing import Pair
from deeplab.data.building.splitting import groups
from deeplab.data.building.worker import make_records
from deeplab.errors import UserError
from deeplab.programs.builders import folder as folder_builder
from deeplab.programs.builders import voc2012
from helpers import fake_data
from helpers.places import ROOT

COLORS = ((10, 20, 30), (0, 0, 255), (255, 0, 0))
COLORED = "a=#000000,b=#0a0000"  # the third colour of the labels belongs to no class


def test_lists_pairs_and_random_splits(tmp_path):
    pairs = fake_data.folders(tmp_path, 10)
    images, labels = (listing.files_by_name(str(tmp_path / kind), "dir") for kind in ("images", "labels"))
    assert listing.all_pairs(images, labels) == pairs
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfimg_3  \r\n\r\nimages/img_1.jpg\r\nother\r\n")
    names = listing.read_list(str(tmp_path / "list.txt"))
    found = listing.listed_pairs(names, images, labels)
    assert [pair[1:] for pair in found] == [pairs[3][1:], pairs[1][1:], (None, None)]
    split = groups.random_split(pairs, 0.3, seed=1)
    assert sorted(split["train"] + split["val"]) == pairs
    assert len(split["val"]) == 3
    assert split == groups.random_split(pairs, 0.3, seed=1) != groups.random_split(pairs, 0.3, seed=2)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="names no images"):
        listing.read_list(str(tmp_path / "empty.txt"))


def test_accents_are_one_however_they_are_written(tmp_path):
    apart, together = "Mu\u0308ller", "M\u00fcller"  # as macOS writes it, and as others do
    image = fake_data.save(fake_data.image(), tmp_path / "images" / f"{apart}.jpg")
    label = fake_data.save(fake_data.label(), tmp_path / "labels" / f"{together}.png")
    images, labels = (listing.files_by_name(str(tmp_path / kind), "dir") for kind in ("images", "labels"))
    assert listing.all_pairs(images, labels) == [Pair(together, image, label)]
    (tmp_path / "list.txt").write_text(apart)
    assert listing.listed_pairs(listing.read_list(str(tmp_path / "list.txt")), images, labels)[0][1:] == (image, label)


def test_files_that_are_no_images_are_told(tmp_path):
    for name in ("a.HEIC", "b.heic", "below/c.npy", ".hidden", "d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert listing.other_files(str(tmp_path)) == "2 .heic, 1 without extension, 1 .npy"
    with pytest.raises(UserError, match=r"\.webp files; it has 2 \.heic, "):
        listing.files_by_name(str(tmp_path), "image_dir")
    fake_data.save(fake_data.image(), tmp_path / "e.png")
    assert ".png" not in listing.other_files(str(tmp_path))


def label_file(tmp_path, array, palette=None):
    return pathlib.Path(fake_data.save(array, tmp_path / "label.png", palette)).read_bytes()


def test_label_formats(tmp_path):
    classes = fake_data.label(ignore=255)
    colored = np.array([*COLORS, *[(0, 0, 0)] * 253], np.uint8)[classes]
    rules = LabelRules(3, 255, "rgb", None, COLORS, ((0, 0, 0),))
    np.testing.assert_array_equal(label_rules.read_label(label_file(tmp_path, colored), rules), classes)
    palette = label_file(tmp_path, classes, list(range(256)) * 3)
    np.testing.assert_array_equal(label_rules.read_label(palette, LabelRules(3, format="palette")), classes)
    zero = label_rules.make_lookup(255, ignore_values=(9,), reduce_zero=True)
    raised = np.where(classes == 255, 0, classes + 1).astype(np.uint8)
    raised[5, 5] = 9
    expected = classes.copy()
    expected[5, 5] = 255
    reduced = label_rules.read_label(label_file(tmp_path, raised), LabelRules(3, lookup=zero))
    np.testing.assert_array_equal(reduced, expected)


def test_unknown_colors_are_listed(tmp_path):
    colored = np.zeros((4, 5, 3), np.uint8)
    colored[0] = COLORS[0]
    with pytest.raises(UserError, match=r"colours that belong to no class: 0,0,0 \(15 pixels\)"):
        label_rules.read_label(label_file(tmp_path, colored), LabelRules(3, 255, "rgb", None, COLORS))


def test_an_image_bomb_is_refused(tmp_path):
    pairs = fake_data.folders(tmp_path, 1)
    (item,) = make_records(pairs, LabelRules(3, images=ImageRules(max_pixels=2000)), workers=1)
    assert item.problem.startswith(f"{pairs[0].image}: 64x48 pixels; more than 2000 are refused")


def test_workers_change_nothing(tmp_path):
    pairs = [*fake_data.folders(tmp_path, 9), Pair("gone", None, None)]
    one, two = (list(make_records(pairs, LabelRules(3), workers)) for workers in (1, 2))
    assert [item._replace(histogram=None) for item in one] == [item._replace(histogram=None) for item in two]
    assert one[-1].problem == "gone: its image is missing"


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("worker, label_rules, upright, survey, found_table", {"tensorflow", "keras"}),  # worker processes import them
        # scripts import these before they read their flags
        ("listing, folders, class_lists.reading", {"tensorflow", "keras", "PIL", "numpy"}),
    ],
)
def test_light_modules_stay_light(modules, absent):
    imports = "; ".join(f"import deeplab.data.building.{module}" for module in modules.split(", "))
    code = f"import sys; {imports}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not absent & set(loaded.stdout.split())


def build(tmp_path, split, count, dataset=None, first=0, **options):
    """Builds `count` pairs as a split, numbered from `first`; returns the folder of the shards."""
    dataset = dataset or catalog.Dataset("fake", 3)
    pairs = fake_data.folders(tmp_path / split, first + count)[first:]
    builder.build({split: pairs}, dataset, LabelRules(3), fake_data.BuildTo(str(tmp_path / "shards"), **options))
    return tmp_path / "shards"


def test_splits_can_be_built_one_after_the_other(tmp_path):
    build(tmp_path, "val", 2)
    folder = build(tmp_path, "train", 4)
    first = {path.name: path.read_bytes() for path in folder.glob("*.tfrecord")}
    assert catalog.load(str(folder)).splits == {"val": 2, "train": 4}
    dataset = catalog.load(str(folder))
    assert {split: sum(counts) for split, counts in dataset.class_histogram.items()} == {
        "val": 2 * 47 * 64,
        "train": 4 * 47 * 64,
    }
    assert dataset.class_image_pixels["train"] == (4 * 48 * 64,) * 3  # ignored pixels included
    (folder / "val-00000-of-00007.tfrecord").write_text("left over from a build with seven shards")
    build(tmp_path, "val", 2, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.glob("*.tfrecord")} == first  # and the same bytes again
    with pytest.raises(UserError, match="has num_classes=3, this build 4"):
        build(tmp_path, "test", 1, catalog.Dataset("fake", 4))


def test_a_failed_build_leaves_the_old_one_alone(tmp_path, monkeypatch):
    folder = build(tmp_path, "train", 4)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    class FullDisk(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io, "TFRecordWriter", FullDisk)
    with pytest.raises(UserError, match="cannot be written, nothing was left behind: No space left on device"):
        build(tmp_path, "train", 3, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--output_dir=.*file/shards: cannot be written"):
        builder.build(
            {"train": fake_data.folders(tmp_path, 1)}, catalog.Dataset("fake", 3), LabelRules(3),
            fake_data.BuildTo(str(tmp_path / "file" / "shards")),
        )  # fmt: skip
    with pytest.raises(UserError, match="split 'val' is empty"):
        builder.build({"val": []}, catalog.Dataset("fake", 3), LabelRules(3), fake_data.BuildTo(str(folder)))


def test_shards_of_a_killed_build_are_no_shards(tmp_path):
    folder = build(tmp_path, "train", 2)
    (folder / "unfinished-train-00001-of-00002.tfrecord").write_text("half a shard")
    (folder / "unfinished-val-00000-of-00009.tfrecord").write_text("of another build")
    assert list(tfrecord.splits(str(folder))) == ["train"]
    assert len(tfrecord.shards(str(folder), "train")) == 2
    build(tmp_path, "train", 3, overwrite=True)
    assert not (folder / "unfinished-train-00001-of-00002.tfrecord").exists()
    with pytest.raises(UserError, match="split 'unfinished-train': names that begin with unfinished- mark files"):
        build(tmp_path, "unfinished-train", 1)


def names(folder, split):
    """Returns the names of the records that a reader of the split finds."""
    records = tf.data.TFRecordDataset(tfrecord.shards(str(folder), split)).as_numpy_iterator()
    return [tfrecord.value(tf.train.Example.FromString(raw), tfrecord.FILENAME).decode() for raw in records]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_build_of_a_split_is_refused_unless_it_says_what_it_does(tmp_path):
    folder = build(tmp_path, "train", 3)
    before = contents(folder)
    with pytest.raises(
        UserError, match=r"holds the split 'train' \(2 shards\) already; --append .*, --overwrite [^\n]+$"
    ):
        build(tmp_path, "train", 2, first=3)
    assert contents(folder) == before
    build(tmp_path, "train", 2, first=3, overwrite=True)
    assert names(folder, "train") == ["img_3", "img_4"]
    with pytest.raises(UserError, match="one of --append and --overwrite"):
        BuildConfig(output_dir="x", append=True, overwrite=True)
    with pytest.raises(UserError, match="split 'a,b': a comma separates"):
        build(tmp_path, "a,b", 1)


def test_an_appended_split_equals_one_that_is_built_at_once(tmp_path, capsys):
    whole = build(tmp_path / "whole", "train", 7, num_shards=1)
    build(tmp_path, "train", 3, append=True)  # the split may be new
    catalog_before = catalog.load(str(tmp_path / "shards"))
    (tmp_path / "shards" / catalog.FILE).write_text(
        catalog.to_json(dataclasses.replace(catalog_before, class_histogram={}, class_image_pixels={}))
    )
    folder = build(tmp_path, "train", 4, first=3, append=True, num_shards=3)
    assert sorted(path.name for path in folder.glob("train-*")) == [f"train-{i:05}-of-00005.tfrecord" for i in range(5)]
    assert names(folder, "train") == names(whole, "train")
    assert catalog.load(str(folder)) == catalog.load(str(whole))
    told = json.loads((folder / "dataset_info.json").read_text())["splits"][0]
    assert sum(map(int, told["shardLengths"])) == 7
    assert "train: 4 images in" in capsys.readouterr().out.splitlines()[-1]


def test_appending_refuses_other_classes_and_names_that_are_there(tmp_path):
    folder = build(tmp_path, "train", 3)
    before = contents(folder)
    with pytest.raises(UserError, match="the name img_2 is in the split already"):
        build(tmp_path, "train", 2, first=2, append=True)
    with pytest.raises(UserError, match="has num_classes=3, this build 4"):
        build(tmp_path, "train", 1, catalog.Dataset("fake", 4), first=3, append=True)
    assert contents(folder) == before
    damaged = folder / "train-00001-of-00002.tfrecord"
    damaged.write_bytes(before[damaged.name][:-9] + b"123456789")
    with pytest.raises(UserError, match=r"train-00001-of-00002\.tfrecord: .*damaged in record 0 .*; --append adds"):
        build(tmp_path, "train", 1, first=3, append=True)
    damaged.write_bytes(before[damaged.name])
    build(tmp_path, "train", 2, first=2, append=True, skip_bad=True)
    assert names(folder, "train") == ["img_0", "img_1", "img_2", "img_3"]


@pytest.mark.parametrize("renames", range(5))
def test_an_append_that_is_interrupted_leaves_a_split_that_can_be_read(tmp_path, monkeypatch, renames, capsys):
    folder = build(tmp_path, "train", 3)
    before, rename, asked = names(folder, "train"), tf.io.gfile.rename, []

    def end(*_arguments, **_options):
        raise KeyboardInterrupt

    def rename_some(*arguments, **options):
        asked.append(arguments)
        return rename(*arguments, **options) if len(asked) <= renames else end()

    monkeypatch.setattr(tf.io.gfile, "rename", rename_some)
    monkeypatch.setattr(builder, "_remove_other_shards", end)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, "train", 2, first=3, append=True)
    monkeypatch.undo()
    after = ["img_0", "img_1", "img_2", "img_3", "img_4"]
    assert names(folder, "train") == (after if renames == 4 else before)
    split = source.open_split(str(folder), "train")
    assert len(split) == (5 if renames == 4 else 3)
    assert ("shards beside a complete split are not read" in capsys.readouterr().out) == (renames > 0)
    if renames < 4:
        build(tmp_path, "train", 2, first=3, append=True)
        assert names(folder, "train") == after
        assert len(list(folder.glob("*.tfrecord"))) == 4


def test_a_folder_of_the_reference_can_be_added_to(tmp_path):
    folder = build(tmp_path, "train", 3)
    (folder / catalog.FILE).unlink()
    for path in folder.glob("*.tfrecord"):
        path.rename(path.with_suffix(""))
    build(tmp_path, "train", 1, first=3, append=True)
    assert catalog.load(str(folder)).splits == {"train": 4}
    assert sum(catalog.load(str(folder)).class_histogram["train"]) == 4 * 47 * 64
    assert len(list(folder.glob("train-*"))) == 4


def folders_of(tmp_path, *places):
    """Writes two pairs below each place; returns the folders of images, and those of labels."""
    for place in places:
        fake_data.folders(tmp_path / place, 2)
    return tuple(tuple(str(tmp_path / place / kind) for place in places) for kind in ("images", "labels"))


def test_names_in_several_folders_stay_apart(tmp_path):
    image_dirs, label_dirs = folders_of(tmp_path, "monday/am", "friday/am")
    images, labels = folders.images_and_labels(image_dirs, label_dirs)
    assert [pair.name for pair in listing.all_pairs(images, labels)] == [
        f"{day}/img_{i}" for day in ("friday", "monday") for i in range(2)
    ]
    assert all(os.path.dirname(pair.image)[:-6] == os.path.dirname(pair.label)[:-6]
               for pair in listing.all_pairs(images, labels))  # fmt: skip
    assert list(folders.images_and_labels(image_dirs[:1], label_dirs[:1])[0]) == ["img_0", "img_1"]
    with pytest.raises(UserError, match=r"--label_dir=.*: 1 folders of labels and 2 of images; give one for each"):
        folders.images_and_labels(image_dirs, label_dirs[:1])
    for inner in (str(tmp_path / "monday"), image_dirs[0]):
        with pytest.raises(UserError, match=r"lies in .*images would come twice"):
            folders.images_and_labels((image_dirs[0], inner), label_dirs)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    folders_of(tmp_path, "disk")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "disk" / "images")
    (tmp_path / "images" / "again").symlink_to(tmp_path / "disk" / "images")
    (tmp_path / "images" / "self").symlink_to(tmp_path / "images")
    (tmp_path / "disk" / "images" / "back").symlink_to(tmp_path / "images")
    found = listing.files_by_name(str(tmp_path / "images"), "image_dir")
    assert list(found) == ["again/img_0", "again/img_1", "linked/img_0", "linked/img_1"]


FOLDER = {"class_names": "a,b,c", "num_workers": 1}
OTHERWISE = {  # option of build_folder_data: (options with which it has an effect, another value of the option)
    "image_suffix": ({}, "_rgb"),
    "label_suffix": ({}, "_mask"),
    "list": ({}, ("one.txt",)),
    "split": ({}, "test"),
    "val_fraction": ({}, 0.5),
    "seed": ({"val_fraction": 0.5}, 3),
    "class_names": ({}, "x,y,z"),
    "num_classes": ({"class_names": ""}, 7),
    "name": ({}, "stripes"),
    "label_format": ({}, "binary"),
    "ignore_label": ({}, 2),
    "ignore_values": ({}, (1,)),
    "ignore_colors": ({"label_format": "rgb", "label_dir": ("colors",), "class_names": COLORED}, (20, 0, 0)),
    "reduce_zero_label": ({"class_names": "a,b"}, True),
    "color_tolerance": ({"label_dir": ("colors",), "class_names": "a=#000000,b=#0c0000,c=#140000"}, 5.0),
    "most_unmatched": ({"label_dir": ("colors",), "class_names": "a=#000000,b=#0a0000", "color_tolerance": 1.0}, 0.5),
    "binary_threshold": ({"class_names": "a,b"}, 2),
    "resize_masks": ({"label_dir": ("small",)}, True),
    "instances_as": ({"class_names": ""}, "cell"),
    "border_class": ({"class_names": "", "instances_as": "cell"}, "edge"),
    "border_pixels": ({"class_names": "", "instances_as": "cell", "border_class": "edge"}, 1),
    "group_by": ({"val_fraction": 0.5}, "5?"),
    "folds": ({}, 3),
    "fold": ({"folds": 3}, 2),
    "num_shards": ({}, 2),
    "skip_bad": ({"class_names": "a,b"}, True),
    "output_dir": ({}, "elsewhere"),
    "image_dir": ({}, ("colors",)),
    "label_dir": ({}, ("images",)),
}


def built(options):
    """Returns what build_folder_data leaves in the folders below the working folder, or what it refuses."""
    config = {"image_dir": ("images",), "label_dir": ("labels",), "output_dir": "shards", **FOLDER, **options}
    before = set(os.listdir())
    try:
        folder_builder.build_folder_data(folder_builder.FolderConfig(**config))
    except UserError as error:
        return str(error)
    finally:
        made = {name for name in os.listdir() if name in ("shards", "elsewhere")} - before
        found = {f"{name}/{path.name}": path.read_bytes() for name in made for path in pathlib.Path(name).iterdir()}
        for name in made:
            shutil.rmtree(name)
    return found


def test_every_option_of_build_folder_data_changes_what_is_built(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i in range(6):
        label = fake_data.label(12, 16, seed=i)
        label[0] = 0
        colored = np.dstack([label * 10, label * 0, label * 0])
        for folder, name, pixels in (
            ("images", f"{i}.png", fake_data.image(12, 16, seed=i)), ("labels", f"{i}.png", label),
            ("colors", f"{i}.png", colored), ("small", f"{i}.png", label[::2, ::2]),
        ):  # fmt: skip
            fake_data.save(pixels, tmp_path / folder / name)
    (tmp_path / "one.txt").write_text("1\n2\n")
    for name, (base, value) in OTHERWISE.items():
        assert built({**base, name: value}) != built(base), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "a/b"}, "split='a/b': expected a name without /"),
        ({"seed": 3}, "seed=3: has no effect without --val_fraction"),
        ({"split": "test", "val_fraction": 0.5}, "split='test': has no effect with --val_fraction"),
        (
            {"label_format": "index", "ignore_colors": (1, 2, 3)},
            "ignore_colors=.* has no effect with --label_format=index",
        ),
        (
            {"label_format": "rgb", "ignore_values": (1,)},
            "ignore_values=.* has no effect where labels are read by colour",
        ),
        ({"label_format": "rgb", "reduce_zero_label": True}, "reduce_zero_label=True: has no effect where labels"),
        ({"label_format": "index", "color_tolerance": 5.0}, "color_tolerance=5.0: has no effect with --label_format"),
        ({"label_format": "index", "binary_threshold": 5}, "binary_threshold=5: has no effect with --label_format"),
        ({"most_unmatched": 0.5}, "most_unmatched=0.5: has no effect without --color_tolerance"),
        ({"instances_as": "cell"}, "class_names='a,b,c': has no effect with --instances_as"),
        ({"border_class": "edge"}, "border_class='edge': has no effect without --instances_as"),
        ({"border_pixels": 3}, "border_pixels=3: has no effect without --border_class"),
        ({"folds": 3, "fold": 4}, "fold=4: expected 1 to --folds=3"),
        ({"folds": 3, "val_fraction": 0.5}, "folds=3: expected 0 with --list or --val_fraction"),
        ({"folds": 1}, "folds=1: expected 2 or more"),
    ],
)
def test_options_of_build_folder_data_without_effect_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        folder_builder.FolderConfig(
            image_dir=("images",), label_dir=("labels",), output_dir="shards", **FOLDER, **options
        )


def test_images_of_voc_have_the_extension_that_is_asked_for(tmp_path):
    for name in ("a", "b"):
        fake_data.save(fake_data.image(12, 16), tmp_path / "images" / f"{name}.png")
        fake_data.save(fake_data.label(12, 16), tmp_path / "labels" / f"{name}.png", list(range(256)) * 3)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("a\nb\n")
    config = voc2012.VocConfig(
        image_folder=str(tmp_path / "images"), semantic_segmentation_folder=str(tmp_path / "labels"),
        list_folder=str(tmp_path / "lists"), output_dir=str(tmp_path / "shards"), num_workers=1, image_format="png",
    )  # fmt: skip
    voc2012.build_voc2012_data(config)
    assert catalog.load(config.output_dir).splits == {"train": 2}
    with pytest.raises(UserError, match=r"--image_folder=.*: holds no \.jpg files; it has 2 \.png"):
        voc2012.build_voc2012_data(dataclasses.replace(config, image_format="jpg"))
