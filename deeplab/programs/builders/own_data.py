"""Writes the shards of folders of images and labels: what `folder.py` does once its flags are read."""

import dataclasses
import os
import shlex

import tensorflow as tf

from deeplab.config import options
from deeplab.config.options import require
from deeplab.data import catalog
from deeplab.data.building import builder, found_table, label_rules, listing, survey
from deeplab.data.building.bands import survey as bands_survey
from deeplab.data.building.class_lists import reading
from deeplab.data.building.class_lists.rows import ClassList, lookup
from deeplab.data.building.masks import advice, instances
from deeplab.data.building.splitting import groups, lists
from deeplab.errors import UserError
from deeplab.files import escaping
from deeplab.programs.builders import arrangement, pairs_of_folders

_VOID = label_rules.DEFAULT_IGNORE


def build(config, given=None, files=None):
    """Builds the shards that `config` (a `FolderConfig`) describes.

    Args:
      config: what the flags and the arrangement of the folder say.
      given: what the flags alone say, for the command that a message shows; None: `config`.
      files: ({name: image}, {name: label}) where something else than the names of folders says what they are.

    Raises:
      UserError: files do not fit the flags or each other; or the classes have no names, and the message has the command
        with which these labels can be built.
    """
    images, labels = files or pairs_of_folders.find(config)
    for folder in dict.fromkeys((*config.image_dir, *config.label_dir)):
        if others := listing.other_files(folder):
            print(f"{folder}: left out {others}, kinds of files that are not read", flush=True)
    seen = survey.inspect(sorted(path for path in labels.values() if not os.path.isdir(path)))
    splits = find_splits(config, images, labels)
    classes = named_classes(config, seen)
    config = _with_format(config, classes, seen)
    rules = make_rules(config, classes, seen) if classes else None
    label_format = "instances" if config.instances_as else config.label_format
    shown = _with_shifted_ids(classes) if classes and config.reduce_zero_label else classes
    found = found_table.Found(images, labels, splits, seen, shown, label_format, config.ignore_values)
    print(found_table.text(found), flush=True)
    if not classes:
        raise UserError(_way_out(seen, labels, given or config))
    for note in classes.notes:
        print(escaping.terminal(note), flush=True)
    dataset = dataclasses.replace(describe(config, classes, seen), **channels_of(config, splits))
    builder.build(splits, dataset, rules, config)
    advise_to_split(splits, given or config)


def advise_to_split(splits, config):
    """Prints how to keep some images for evaluation, where nobody has said how the images are split."""
    if set(splits) == {"train"} and not config.list:
        print("all are for training: --val_fraction=0.2 keeps some to evaluate on, which deeplab.eval and vis want")


def find_splits(config, images, labels):
    """Returns {split: [`listing.Pair`]} of the flags; images and labels are {name: path}."""
    splits = _find_splits(config, images, labels)
    if config.group_by and not (config.folds or config.val_fraction):
        require(len(splits) > 1, "group_by", config.group_by, "--val_fraction, --folds or several splits beside it")
        groups.refuse_shared(splits, config.group_by)
    return splits


def _find_splits(config, images, labels):
    if config.list:
        names = [config.split or arrangement.split_name(path) for path in config.list]
        return {name: lists.pairs(path, images, labels) for name, path in zip(names, config.list, strict=True)}
    pairs = listing.all_pairs(images, labels)
    if config.folds:
        return groups.fold_split(pairs, config.folds, config.fold, config.seed, config.group_by)
    if config.val_fraction:
        return groups.random_split(pairs, config.val_fraction, config.seed, config.group_by)
    by_folder = arrangement.by_split_folder(pairs) if config.folder and not config.split else {}
    return by_folder or {config.split or "train": pairs}


def named_classes(config, seen):
    """Returns the `ClassList` of the flags, None if they name no classes.

    Without names, --num_classes gives "class 0" and so on, which stands for no name. One class alone gets a background
    if the labels, of which `seen` is the `survey.Survey`, have two values.

    Raises:
      UserError: one class is left, a class has the number of what does not count, or the number of names is another.
    """
    if config.instances_as:
        names = ("background", config.instances_as, *([config.border_class] if config.border_class else []))
        require(len(set(names)) == len(names), "instances_as", config.instances_as, "another name than the other class")
        return ClassList(names)
    if config.class_names:
        classes = reading.read(config.class_names)
    elif config.num_classes is not None:
        require(1 <= config.num_classes <= 256, "num_classes", config.num_classes, "2 to 255")
        classes = ClassList(tuple(f"class {label}" for label in range(config.num_classes)))
    else:
        return None
    if len(classes.names) == 1 and config.class_names and _is_foreground(classes) and _two_valued(seen):
        print(escaping.terminal(f"one class is named: background comes before {classes.names[0]!r}"), flush=True)
        return reading.one_class_with_background(classes)
    _refuse_impossible(config, classes, seen)
    return classes


def _is_foreground(classes):
    """Tells whether the only class of a list can be what is white or 1 in the labels."""
    named = classes.names[0].strip().lower() not in ("background", "_background_", "bg")
    return named and set(classes.ids) <= {1, 255} and (0, 0, 0) not in classes.colors


def _two_valued(seen):
    return survey.black_and_white(seen) or (not seen.in_color and set(seen.files) == {0, 1})


def _refuse_impossible(config, classes, seen):
    count = config.num_classes or len(classes.names)
    require(len(classes.names) == count, "num_classes", count, f"{len(classes.names)}, the number of class names")
    if count == 1:
        flags = " ".join(advice.advise(seen).flags) or "--class_names=background,object"
        flag = f"--class_names={config.class_names}" if config.class_names else "--num_classes=1"
        raise UserError(f"{flag}: with one class there is nothing to learn. Name what is around it, too: {flags}")
    most = 255 if config.ignore_label == _VOID else 256
    require(count <= most, "num_classes", count, f"at most {most}, since labels have 8 bits")
    if config.ignore_label < count:
        raise UserError(
            f"--ignore_label={config.ignore_label}: is also the number of the class "
            f"{classes.names[config.ignore_label]!r}; choose one of {count} to 255. "
            "--ignore_values=N says which values in the files do not count"
        )
    ids = set(classes.ids) or {value + config.reduce_zero_label for value in range(count)}
    both = sorted(ids.intersection(config.ignore_values)) if config.label_format != "binary" else []
    if both:
        raise UserError(
            f"--ignore_values={both[0]}: is also the value of a class. A class and what does not count need different "
            "values: leave the class out, --class_names=NAME=ID,NAME=ID"
        )
    ignored = _triples(config.ignore_colors)
    both = [color for color in ignored if color in classes.colors]
    require(not both, "ignore_colors", both, "colours that no class has")


def _triples(values):
    return tuple(values[i : i + 3] for i in range(0, len(values), 3))


def _with_format(config, classes, seen):
    """Returns `config` with the label format that "auto" stands for, which is said."""
    if config.label_format != "auto" or config.instances_as or not classes:
        return config
    chosen = choose_format(config, classes, seen)
    config = dataclasses.replace(config, label_format=chosen)
    print(f"taken as --label_format={config.label_format}", flush=True)
    return config


def choose_format(config, classes, seen):
    """Returns the label format of `label_rules.FORMATS` with which the classes are found in labels like `seen`.

    Of a palette or one channel, colours of the class list count if all that occur are in it, and the values do not fit.
    """
    count = len(classes.names)
    if count == 2 and config.binary_threshold is not None and not seen.in_color:
        return "binary"
    guessed = survey.label_format(seen, count)
    if guessed == "binary" and classes.colors == ((255,) * 3, (0,) * 3):
        return "rgb"  # white is the first class, which "binary" would give to the second one
    if guessed in ("rgb", "binary") and not (guessed == "binary" and classes.ids):
        return guessed
    if not classes.colors or classes.ids or not seen.kind:
        return "palette" if seen.kind == "palette" else "index"
    present = {value: seen.palette.get(value, (value,) * 3) for value in seen.files if value != _VOID}
    by_color = set(present.values()) <= {*classes.colors, *classes.void_colors}
    fits = all(value < count for value in present)
    same = all(value < count and classes.colors[value] == color for value, color in present.items())
    if by_color and not same and (seen.kind == "palette" or not fits):
        return "rgb"
    return guessed


def _with_shifted_ids(classes):
    """Returns a `ClassList` whose ids begin with 1, as --reduce_zero_label reads them."""
    return classes._replace(ids={label + 1: label for label in range(len(classes.names))}, void_ids=(0,))


def _way_out(seen, labels, given):
    """Returns the message of labels whose classes have no names: the command with which they can be built."""
    folders = labels and os.path.isdir(next(iter(labels.values())))
    best = advice.Advice(("--instances_as=object",), "each object has a mask") if folders else advice.advise(seen)
    if not best.flags:
        return f"the classes have no names, and for these labels none can be suggested: {best.note}"
    note = f" ({best.note})" if best.note else ""
    return (
        f"the classes have no names: name them by --class_names, or with these names build it by{note}:\n"
        f"{command(given, best.flags)}"
    )


def command(given, more):
    """Returns the command line of a `FolderConfig` with further flags, as it can be pasted into a shell."""
    folder = given.folder
    if os.path.isdir(folder):
        relative = not os.path.isabs(folder) and not folder.startswith(".")  # could be the name of a builder
        words = ["deeplab", "build", os.path.join(".", folder) if relative else folder]
    else:
        words = ["deeplab", "build", "folder", *([f"--folder={folder}"] if folder else [])]
    words += more
    for name, (value, _default) in options.changed_options(given).items():
        if name == "folder":
            continue
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        words.append(f"--{name}" if value is True else f"--no{name}" if value is False else f"--{name}={value}")
    return " ".join(map(shlex.quote, words))


def channels_of(config, splits):
    """Returns the facts about channels, see `bands.survey`, of the images of {split: pairs}; prints what was found."""
    files = [pair.image for pairs in splits.values() for pair in pairs if isinstance(pair.image, str)]
    is_there = tf.io.gfile.exists(os.path.join(config.output_dir, catalog.FILE))
    found = bands_survey.channels(config, files, catalog.load(config.output_dir) if is_there else None)
    if found:
        print(bands_survey.summary(found), flush=True)
    return found


def describe(config, classes, seen):
    """Returns the `catalog.Dataset` of the flags."""
    names = classes.names if config.class_names or config.instances_as else ()
    count = len(classes.names)
    source_ids = classes.source_ids
    if config.reduce_zero_label:
        source_ids = tuple(range(1, count + 1))
    if config.label_format == "binary" and not set(seen.files) <= {0, 1}:
        source_ids = (0, _VOID)
    by_color = config.label_format == "rgb"
    return catalog.Dataset(
        config.name, count, config.ignore_label, class_names=names, colors=classes.colors,
        source_ids=() if by_color or config.instances_as else source_ids,
        source_colors=classes.colors if by_color else (),
    )  # fmt: skip


def make_rules(config, classes, seen):
    """Returns the `LabelRules` of the flags; errors suggest flags that fit `seen`, a `survey.Survey`."""
    label_format = "instances" if config.instances_as else config.label_format
    if label_format == "rgb" and not classes.colors:
        raise UserError(
            f"--class_names={config.class_names}: the labels are read by colour, so each class needs one. "
            f"Try {' '.join(advice.advise(seen).flags) or advice.advise(seen).note}"
        )
    if label_format == "binary":
        require(len(classes.names) == 2, "class_names", config.class_names, "two classes with --label_format=binary")
    values = label_rules.make_lookup(config.ignore_label, config.ignore_values, config.reduce_zero_label)
    if label_format == "instances":
        values = instances.lookup(config.ignore_label, config.ignore_values)
    if classes.ids and label_format != "binary":
        require(not config.reduce_zero_label, "reduce_zero_label", True, "no such flag beside classes with ids")
        values = lookup(classes.ids, config.ignore_label, (*config.ignore_values, *classes.void_ids))
    ignored = (*_triples(config.ignore_colors), *classes.void_colors)
    return label_rules.LabelRules(
        len(classes.names), config.ignore_label, label_format, values, classes.colors, ignored,
        config.color_tolerance, config.most_unmatched, config.binary_threshold,
        config.border_pixels if config.border_class else 0, config.resize_masks,
    )  # fmt: skip
