"""Writes the shards of folders of images and labels: what `folder.py` does once its flags are read."""

import dataclasses
import os

from deeplab.config.options import require
from deeplab.data import catalog
from deeplab.data.building import builder, folders, label_rules, listing, survey
from deeplab.errors import UserError
from deeplab.programs.builders import arrangement


def build(config, files=None):
    """Builds the shards that `config` (a `FolderConfig`) describes.

    `files` are ({name: image}, {name: label}) where something else than the names of folders says what they are.
    """
    images, labels = files or folders.images_and_labels(
        config.image_dir, config.label_dir, config.image_suffix, config.label_suffix
    )
    for folder in dict.fromkeys((*config.image_dir, *config.label_dir)):
        if others := listing.other_files(folder):
            print(f"{folder}: left out {others}, kinds of files that are not read", flush=True)
    labels_survey = survey.inspect(sorted(labels.values()))
    print(survey.summary(labels_survey), flush=True)
    if not config.class_names and config.num_classes is None:
        raise UserError(
            f"give the classes by --class_names or --num_classes. Try {survey.suggested_flags(labels_survey)}"
        )
    dataset = describe(config)
    if config.label_format == "auto":
        label_format = survey.label_format(labels_survey, dataset.num_classes)
        config = dataclasses.replace(config, label_format=label_format)
        print(f"taken as --label_format={config.label_format}", flush=True)
    rules = make_rules(config, dataset, labels_survey)
    splits = find_splits(config, images, labels)
    builder.build(splits, dataset, rules, config)
    advise_to_split(splits, config)


def advise_to_split(splits, config):
    """Prints how to keep some images for evaluation, where nobody has said how the images are split."""
    if len(splits) == 1 and not (config.list or config.split):
        print("all are for training: --val_fraction=0.2 keeps some to evaluate on, which deeplab.eval and vis want")


def find_splits(config, images, labels):
    """Returns {split: [`listing.Pair`]} of the flags; images and labels are {name: path}."""
    if config.list:
        names = [config.split or os.path.splitext(os.path.basename(path))[0] for path in config.list]
        lists = zip(names, config.list, strict=True)
        return {name: listing.listed_pairs(listing.read_list(path), images, labels) for name, path in lists}
    pairs = listing.all_pairs(images, labels)
    if config.val_fraction:
        return listing.random_split(pairs, config.val_fraction, config.seed)
    by_folder = arrangement.by_split_folder(pairs) if config.folder and not config.split else {}
    return by_folder or {config.split or "train": pairs}


def class_names(config):
    """Returns the names that --class_names gives, as a tuple."""
    return listing.read_classes(config.class_names)[0]


def describe(config):
    """Returns the `catalog.Dataset` of the flags."""
    names, colors = listing.read_classes(config.class_names) if config.class_names else ((), ())
    count = config.num_classes or len(names)
    require(not names or len(names) == count, "num_classes", count, f"{len(names)}, the number of class names")
    return catalog.Dataset(config.name, count, config.ignore_label, class_names=names, colors=colors)


def make_rules(config, dataset, labels_survey):
    """Returns the `LabelRules` of the flags; errors suggest flags that fit `labels_survey`, a `survey.Survey`."""
    if config.label_format == "rgb" and not dataset.colors:
        raise UserError(
            f"--class_names={config.class_names}: the labels are read by colour, so each class needs one. "
            f"Try {survey.suggested_flags(labels_survey)}"
        )
    if config.label_format == "binary":
        require(dataset.num_classes == 2, "class_names", config.class_names, "two classes with --label_format=binary")
    values = config.ignore_colors
    ignored = tuple(values[i : i + 3] for i in range(0, len(values), 3))
    lookup = label_rules.make_lookup(config.ignore_label, config.ignore_values, config.reduce_zero_label)
    return label_rules.LabelRules(
        dataset.num_classes, config.ignore_label, config.label_format, lookup, dataset.colors, ignored
    )
