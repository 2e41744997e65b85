"""What an output folder holds from earlier builds, and how a build adds shards to a split that is there already."""

import dataclasses
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data import catalog, tfrecord
from deeplab.data.building import label_rules
from deeplab.data.building.tally import Tally
from deeplab.errors import UserError, one_line
from deeplab.files import atomic

_MOST_SHARDS = 99999  # names of shards have five digits


class Earlier(NamedTuple):
    """The shards of one split that a build adds to. There are none of a new split."""

    paths: tuple[str, ...]
    names: frozenset[str]  # of their records
    tally: Tally


def none():
    """Returns the `Earlier` of a split that is built anew."""
    return Earlier((), frozenset(), Tally())


def dataset(wanted, output_dir):
    """Returns the `Dataset` that the folder holds already; for a new folder `wanted` without facts about splits.

    Raises:
      UserError: the folder holds a data set with other classes.
    """
    path = os.path.join(output_dir, catalog.FILE)
    facts = {"splits": {}, "class_histogram": {}, "class_image_pixels": {}, "mean_size": (), "largest_sizes": {}}
    if not tf.io.gfile.exists(path):
        return dataclasses.replace(wanted, **facts)
    existing = catalog.load(output_dir)
    for field in ("num_classes", "ignore_label", "class_names", "num_channels", "value_range", "bands"):
        old, new = getattr(existing, field), getattr(wanted, field)
        if old != new:
            raise UserError(
                f"{path} has {field}={old}, this build {new}: choose another --output_dir or delete the folder"
            )
    for field in ("source_ids", "source_colors"):
        old, new = getattr(existing, field), getattr(wanted, field)
        if old and new and old != new:
            raise UserError(f"{path} has {field}={old}, this build {new}: the labels of all splits need the same ones")
    return dataclasses.replace(wanted, **{field: getattr(existing, field) for field in facts})


def refuse_to_replace(splits, output_dir):
    """Raises a UserError if the folder has shards of one of the splits, which a build would replace."""
    present = _shards(output_dir)
    twice = [f"{split!r} ({len(present[split])} shards)" for split in splits if split in present]
    if twice:
        raise UserError(
            f"--output_dir={output_dir}: holds the split {', '.join(twice)} already; --append adds the images to it, "
            "--overwrite replaces it"
        )


def read(split, dataset, config):
    """Returns the `Earlier` shards of a split, to which a build with `config`, a `BuildConfig`, adds.

    Raises:
      UserError: shards are missing or damaged, their labels are outside the classes of `dataset`, or there would be
        too many shards.
    """
    if split not in _shards(config.output_dir):
        return none()
    paths = tuple(tfrecord.shards(config.output_dir, split))
    if len(paths) + config.num_shards > _MOST_SHARDS:
        raise UserError(f"--num_shards={config.num_shards}: {split!r} has {len(paths)} shards, {_MOST_SHARDS} can be")
    names, tally = set(), Tally()
    for path in paths:
        rows = tfrecord.scan(path).rows  # raises an error that names a shard that was cut off
        try:
            for number, raw in enumerate(tfrecord.read_all(path, rows)):
                if raw is None:
                    raise UserError(tfrecord.damaged_bytes(path, number).removeprefix(f"{path}: "))
                example = tf.train.Example.FromString(raw)
                names.add((tfrecord.value(example, tfrecord.FILENAME) or b"").decode(errors="replace"))
                label = np.asarray(label_rules.open_image(tfrecord.value(example, tfrecord.LABEL)))
                label_rules.to_classes(label, label_rules.LabelRules(dataset.num_classes, dataset.ignore_label))
                tally.add(np.bincount(label.ravel(), minlength=256), label.shape)
        except UserError as error:
            reason = one_line(error)
            raise UserError(f"{path}: {reason}; --append adds only to a good split, --overwrite replaces it") from None
    return Earlier(paths, frozenset(names), tally)


def _shards(output_dir):
    """Returns {split: [paths]} of the shards in the folder; {} for a folder that a dry run would make."""
    return tfrecord.all_shards(output_dir) if tf.io.gfile.isdir(output_dir) else {}


def renumber(earlier, paths, unfinished):
    """Gives earlier shards second names, the first ones of `paths`, when the `unfinished` ExitStack ends.

    The old names stay, so that the old split can be read until all new names are there.
    """
    for old, new in zip(earlier.paths, paths, strict=False):
        if os.path.exists(new) and os.path.samefile(old, new):  # an interrupted build has come so far
            continue
        _link_or_copy(old, unfinished.enter_context(atomic.replacing(new)))


def _link_or_copy(path, target):
    """Gives a file a second name, which takes no space; copies it where the file system has no such links."""
    try:
        if os.path.lexists(target):  # an interrupted build left it
            os.remove(target)
        os.link(path, target)
    except OSError:  # also for gs:// and the like
        tf.io.gfile.copy(path, target, overwrite=True)
