"""Writes the shards of a data set, which is how every datasets/build_*.py ends.

Nothing is replaced until everything is written: only when all pairs were good, or with `skip_bad`, do the shards get
their names, and then dataset.json is updated.
"""

import contextlib
import dataclasses
import os
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data import catalog, tfrecord
from deeplab.data.building import tfds_metadata, upright
from deeplab.data.building.worker import make_records
from deeplab.errors import UserError
from deeplab.files import atomic, locks, progress_bar

_ALIKE = 10  # problems of one kind, and absent classes, that a message lists


class SplitReport(NamedTuple):
    """What a build has done for one split."""

    written: int  # number of records
    problems: list[str]  # one line each, which names a file
    histogram: np.ndarray  # (256,) number of pixels of each label value
    mean_size: tuple  # (height, width); () if nothing was written
    largest_size: tuple  # the smallest (height, width) that holds every image; () if nothing was written
    turned: list[upright.Turned]


def build(splits, dataset, rules, config):
    """Writes all splits of a data set and prints what was done.

    Args:
      splits: {split: [`listing.Pair`]}.
      dataset: `catalog.Dataset`; its split sizes, histogram, mean and largest sizes are filled in here.
      rules: `label_rules.LabelRules`, or {split: LabelRules}.
      config: `BuildConfig`.

    Raises:
      UserError: a split is empty or named like unfinished files; there are bad pairs (listed, one a line) and no
        skip_bad; the folder cannot be written to.
    """
    reserved = [split for split in splits if split.startswith(atomic.UNFINISHED)]
    if reserved:
        raise UserError(f"split {reserved[0]!r}: names that begin with {atomic.UNFINISHED} mark files being written")
    empty = [split for split, pairs in splits.items() if not pairs]
    if empty:
        raise UserError(f"split {empty[0]!r} is empty: check the list file or the folder it comes from")
    try:
        tf.io.gfile.makedirs(config.output_dir)
        with locks.hold(config.output_dir, "output_dir"):
            reports = _write(splits, dataset, rules, config)
    except (tf.errors.OpError, OSError) as error:
        message = " ".join(str(error).split())
        raise UserError(
            f"--output_dir={config.output_dir}: cannot be written, nothing was left behind: {message}"
        ) from None
    for split, report in reports.items():
        print("\n".join([f"{split}: {report.written} images in {config.output_dir}", *upright.summary(report.turned)]))
        absent = [dataset.class_name(label) for label in _absent(report, dataset)]
        if absent:
            print(f"{split}: {len(absent)} of {dataset.num_classes} classes do not occur: {', '.join(absent[:_ALIKE])}")


def _absent(report, dataset):
    return [c for c in range(dataset.num_classes) if c != dataset.ignore_label and not report.histogram[c]]


def _write(splits, dataset, rules, config):
    """Writes the shards, then dataset.json and the metadata of TFDS. Returns {split: report}.

    Nothing is left behind where the shards cannot be written.
    """
    existing = _existing(dataset, config.output_dir)
    with contextlib.ExitStack() as unfinished:  # at its end the shards get their names, after an error they are removed
        reports = {split: _write_split(split, pairs, rules, config, unfinished) for split, pairs in splits.items()}
        _refuse_or_report(reports, config)
        _refuse_one_class(reports, dataset)
    _remove_other_shards(splits, config)
    catalog.save(_merged(existing, reports), config.output_dir)
    tfds_metadata.write(config.output_dir)
    return reports


def _existing(dataset, output_dir):
    """Returns the data set that the folder holds already; for a new folder `dataset` without facts about splits.

    Raises:
      UserError: the folder holds a data set with other classes.
    """
    path = os.path.join(output_dir, catalog.FILE)
    if not tf.io.gfile.exists(path):
        return dataclasses.replace(dataset, splits={}, class_histogram=(), mean_size=(), largest_sizes={})
    existing = catalog.load(output_dir)
    for field in ("num_classes", "ignore_label", "class_names"):
        old, new = getattr(existing, field), getattr(dataset, field)
        if old != new:
            raise UserError(
                f"{path} has {field}={old}, this build {new}: choose another --output_dir or delete the folder"
            )
    facts = ("splits", "class_histogram", "mean_size", "largest_sizes")
    return dataclasses.replace(dataset, **{name: getattr(existing, name) for name in facts})


def _shard_paths(split, config):
    names = [tfrecord.shard_name(split, shard, config.num_shards) for shard in range(config.num_shards)]
    return [tf.io.gfile.join(config.output_dir, name) for name in names]


def _write_split(split, pairs, rules, config, unfinished):
    """Writes the shards of one split, which get their names when the `unfinished` ExitStack ends."""
    rules = rules[split] if isinstance(rules, dict) else rules
    per_shard = -(-len(pairs) // config.num_shards)  # as in the reference: in order, ceil(n / shards) in each
    problems, histogram, sizes, turned = _duplicates(pairs), np.zeros(256, np.int64), [], []
    workers = min(config.workers, -(-len(pairs) // 8))  # starting a process takes as long as a few images
    records = make_records(pairs, rules, workers)
    with progress_bar.show(len(pairs), "image", split) as bar, contextlib.closing(records):
        for shard, path in enumerate(_shard_paths(split, config)):
            with tf.io.TFRecordWriter(unfinished.enter_context(atomic.replacing(path))) as writer:
                for _ in range(min(per_shard, len(pairs) - shard * per_shard)):
                    record = next(records)
                    bar.update()
                    if record.problem:
                        problems.append(record.problem)
                        continue
                    writer.write(_serialized(record))
                    histogram += record.histogram
                    sizes.append(record.size)
                    turned += [record.turned] if record.turned else []
    mean_size = tuple(np.mean(sizes, axis=0)) if sizes else ()
    largest_size = tuple(int(side) for side in np.max(sizes, axis=0)) if sizes else ()
    return SplitReport(len(sizes), problems, histogram, mean_size, largest_size, turned)


def _serialized(record):
    example = tfrecord.Example(record.name, record.image, record.image_format, record.label, *record.size)
    return tfrecord.serialize(example)


def _duplicates(pairs):
    seen, twice = set(), []
    for pair in pairs:
        if pair.name in seen:
            twice.append(f"{pair.image or pair.name}: the name {pair.name} occurs twice in this split")
        seen.add(pair.name)
    return twice


def _refuse_or_report(reports, config):
    problems = [(split, problem) for split, report in reports.items() for problem in report.problems]
    if not problems:
        return
    lines = _grouped(problems)
    if not config.skip_bad:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        summary = f"{count}, nothing was written; mend them or leave the images out with --skip_bad"
        raise UserError("\n".join([summary, *lines]))
    print("\n".join([f"{len(problems)} left out (--skip_bad):", *lines]))
    for split, report in reports.items():
        if not report.written:
            raise UserError(f"split {split!r}: all of its images are bad, nothing was written")


def _grouped(problems):
    """Returns a line for each (split, problem), but only the first few of problems that differ only in numbers."""
    groups = {}
    for split, problem in problems:
        kind = re.sub(r"(\d+ \(\d+ pixels\)(, )?)+|\d+", "", problem.partition(": ")[2])
        groups.setdefault(kind, []).append(f"  {split}: {problem}")
    lines = []
    for alike in groups.values():
        more = len(alike) - _ALIKE
        lines += alike if more <= 1 else [*alike[:_ALIKE], f"  and {more} more like these"]
    return lines


def _refuse_one_class(reports, dataset):
    """Raises a UserError if all pixels that are not ignored have one class.

    That happens when the 0 and 255 of black and white labels are read as class ids.
    """
    counts = sum(report.histogram for report in reports.values())
    ignored = counts[dataset.ignore_label]
    classes = [label for label in np.flatnonzero(counts) if label != dataset.ignore_label]
    if dataset.num_classes > 1 and ignored and len(classes) == 1:
        raise UserError(
            f"all labels hold only the values {classes[0]} and {dataset.ignore_label}, which is the ignore label, so "
            "there is nothing to learn. Black and white labels: build_folder_data.py --label_format=binary with two "
            "classes; otherwise name another --ignore_label"
        )


def _remove_other_shards(splits, config):
    """Removes the shards of an earlier build of the same splits that had another number of shards."""
    existing = tfrecord.splits(config.output_dir)
    for split in splits:
        for path in set(existing[split]) - set(_shard_paths(split, config)):
            tf.io.gfile.remove(path)


def _merged(existing, reports):
    """Returns `existing` with the sizes of the splits of this build, and facts about its training split."""
    sizes = {**existing.splits, **{split: report.written for split, report in reports.items()}}
    training = min(sizes, key=lambda split: (not split.startswith("train"), list(sizes).index(split)))
    largest = {split: report.largest_size for split, report in reports.items()}
    updates = {"splits": sizes, "largest_sizes": {**existing.largest_sizes, **largest}}
    if training in reports:
        report = reports[training]
        updates["class_histogram"] = [int(n) for n in report.histogram[: existing.num_classes]]
        updates["mean_size"] = [round(float(side), 1) for side in report.mean_size]
    return dataclasses.replace(existing, **updates)
