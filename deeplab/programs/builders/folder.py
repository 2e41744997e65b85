"""Builds TFRecord shards from a folder of images and a folder of labels, for any data set.

    deeplab build folder --image_dir=images --label_dir=labels --list=train.txt,val.txt \\
        --class_names=classes.json --ignore_values=11 --output_dir=shards
    deeplab build ./camvid --output_dir=shards

An image and a label belong together if they have the same name, folders below included. Several folders are given as
--image_dir=a/images,b/images --label_dir=a/labels,b/labels; all names, in lists too, then begin with a/ and b/. Each
split comes from a list file (`train.txt` is the split train), or all pairs are one split (--split), or a random part of
the pairs is for validation (--val_fraction). Run it once with all lists or once per split: dataset.json in the output
folder is extended. A split that is there already stays: --append adds to it, --overwrite replaces it. Without
--class_names nothing is written, but what the labels hold and which flags fit is printed.

A folder in place of `folder`, or --folder, says all of this by its arrangement: images/ and labels/ (or names as usual
for these, such as JPEGImages/ and masks/; without such folders, images and labels lie side by side), train.txt, val.txt
and test.txt, else images/train/, images/val/ and images/test/, and classes.json, classes.csv or classes.txt. Flags go
before what is found, and a line tells what was found.

A folder may also hold what an annotation tool has written: COCO, labelme, CVAT, Label Studio, YOLO with outlines, the
layout of Pascal VOC or masks of Roboflow. It is recognised by its files, or named by --format; docs/annotations.md says
what is read of each.
"""

import dataclasses

from deeplab import cli
from deeplab.config import effects
from deeplab.config.builders import ChannelsConfig, MaskConfig
from deeplab.config.options import nested, option, require
from deeplab.programs.builders import arrangement

_MASKS = ("voc", "roboflow_masks", "folders")  # formats whose labels are files, in which nothing overlaps

_NEEDS = {
    "format": effects.Needs(lambda c: bool(c.folder), "without --folder"),
    "overlap": effects.Needs(lambda c: c.folder and c.format not in _MASKS, "where the labels are masks"),
    "seed": effects.Needs(lambda c: c.val_fraction > 0 or c.folds, "without --val_fraction or --folds"),
    "split": effects.Needs(
        lambda c: not (c.val_fraction or c.folds), "with --val_fraction or --folds, whose splits are train and val"
    ),
    "most_unmatched": effects.Needs(lambda c: c.color_tolerance > 0, "without --color_tolerance"),
    "border_class": effects.Needs(lambda c: bool(c.instances_as), "without --instances_as"),
    "border_pixels": effects.Needs(lambda c: bool(c.border_class), "without --border_class"),
    "fold": effects.Needs(lambda c: c.folds > 0, "without --folds"),
    "class_names": effects.Needs(lambda c: not c.instances_as, "with --instances_as, which names the classes"),
    "num_classes": effects.Needs(lambda c: not c.instances_as, "with --instances_as, which names the classes"),
    "label_format": effects.Needs(lambda c: not c.instances_as, "with --instances_as, which reads any of them"),
    "reduce_zero_label": effects.Needs(lambda c: not c.instances_as, "with --instances_as, where 0 is background"),
}


def _label_needs(label_format):
    """Returns what the options of labels need if the labels have that format; with auto, nothing is known yet."""
    by_color, by_value = label_format in ("rgb", "auto"), label_format != "rgb"
    values = effects.Needs(lambda _config: by_value, "where labels are read by colour (--ignore_colors has)")
    colors = effects.Needs(lambda _config: by_color, f"with --label_format={label_format} (--ignore_values has)")
    binary = effects.Needs(lambda _config: label_format in ("binary", "auto"), f"with --label_format={label_format}")
    return {
        "ignore_colors": colors,
        "color_tolerance": colors._replace(told=f"with --label_format={label_format}, which has no colours"),
        "ignore_values": values,
        "reduce_zero_label": values,
        "binary_threshold": binary,
    }


@dataclasses.dataclass(frozen=True)
class FolderConfig(MaskConfig):
    """What is in the folders"""

    folder: str = option("", "Folder with images and labels, whose arrangement says the rest.")
    format: str = option(
        "auto",
        "What wrote the annotations in --folder; auto: looks, folders: nothing did, there are images and masks.",
        choices=("auto", "coco", "labelme", "cvat", "label_studio", "yolo", "voc", "roboflow_masks", "folders"),
    )
    overlap: str = option(
        "file",
        "Which of two annotated shapes is seen where they overlap: the later one of the file, or the smaller one.",
        choices=("file", "smaller"),
    )
    image_dir: tuple[str, ...] = option((), "Folder of the images, with folders below; or several folders: a,b.")
    label_dir: tuple[str, ...] = option(
        (), "Folder of the labels (PNG), named like the images; may be the same folder. One for each image_dir."
    )
    image_suffix: str = option("", "What image names have more than label names, e.g. _rgb.")
    label_suffix: str = option("", "What label names have more than image names, e.g. _mask.")
    list: tuple[str, ...] = option((), "List files, one name a line; each is a split named like the file.")
    split: str | None = option(None, "Name of the split, with one list or none (then: train).")
    val_fraction: float = option(0.0, "Without lists: share of the pairs, drawn at random, that becomes the split val.")
    seed: int = option(0, "Seed of the random split.")
    class_names: str = option(
        "",
        "Classes: a list in JSON, CSV, TSV, TXT or YAML (names, ids, colours), or a,b,c or a=#000000,b=#ff8000 or "
        "a=1,b=7.",
    )
    num_classes: int | None = option(None, "Number of classes, where they have no names.")
    name: str = option("folder", "Name of the data set.")
    label_format: str = option(
        "auto",
        "index: pixel value = class; palette: index of a palette PNG = class; rgb: colours of --class_names; binary: "
        "black = class 0, white = class 1; auto: what most labels are.",
        choices=("auto", "index", "palette", "rgb", "binary"),
    )
    ignore_label: int = option(255, "Label in the shards of pixels that do not count.")
    ignore_values: tuple[int, ...] = option((), "Values in the label files that become the ignore label, e.g. 11.")
    ignore_colors: tuple[int, ...] = option((), "rgb: colours that become the ignore label, three numbers each.")
    reduce_zero_label: bool = option(False, "0 becomes the ignore label and all other values go down by one.")
    channels: ChannelsConfig = nested(ChannelsConfig)

    @property
    def says_splits(self):
        """Whether the flags say how the pairs are split, so that lists in the folder do not count."""
        return bool(self.list or self.split or self.val_fraction or self.folds)

    def check(self):
        super().check()
        for name in ("image_dir", "label_dir"):
            given = bool(getattr(self, name) or self.folder)
            require(given, name, getattr(self, name), f"a folder, --{name}=DIR")
        require(0 <= self.val_fraction < 1, "val_fraction", self.val_fraction, "0 or more, less than 1")
        require(not (self.list and self.val_fraction), "val_fraction", self.val_fraction, "0 with --list")
        require(
            not (self.folds and (self.list or self.val_fraction)),
            "folds",
            self.folds,
            "0 with --list or --val_fraction",
        )
        require(len(self.list) <= 1 or not self.split, "split", self.split, "no value with several lists")
        require(
            "/" not in (self.split or ""), "split", self.split, "a name without /, which becomes part of file names"
        )
        require(len(self.ignore_colors) % 3 == 0, "ignore_colors", self.ignore_colors, "three numbers for each colour")
        values = (self.ignore_label, *self.ignore_values)
        require(all(0 <= value <= 255 for value in values), "ignore_values", values, "numbers 0 to 255")
        effects.refuse_without_effect(self, _NEEDS)
        effects.refuse_without_effect(self, _label_needs(self.label_format))


def build_folder_data(config):
    """Builds the shards that `config` (a `FolderConfig`) describes."""
    from deeplab.programs.builders import annotated, own_data

    if not annotated.build(config):
        own_data.build(arrangement.filled(config), config)


def main():
    cli.main(build_folder_data, FolderConfig)
