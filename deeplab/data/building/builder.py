"""Writes the shards of a data set, which is how every builder ends.

Nothing is replaced until everything is written: only when all pairs were good, or with `skip_bad`, do the shards get
their names, and then dataset.json is updated.
"""

import collections
import contextlib
import dataclasses
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.data import catalog, tfrecord
from deeplab.data.building import dry_run, earlier, tfds_metadata, upright
from deeplab.data.building.bands import report as bands_report
from deeplab.data.building.bands.rules import ImageRules
from deeplab.data.building.masks import reading
from deeplab.data.building.splitting import likeness
from deeplab.data.building.tally import Tally
from deeplab.data.building.worker import make_records
from deeplab.errors import UserError, one_line
from deeplab.files import atomic, escaping, locks, progress_bar

_ALIKE = 10  # problems of one kind, and absent classes, that a message lists


class SplitReport(NamedTuple):
    """What a build has done for one split."""

    written: int  # number of records of this build
    problems: list[str]  # one line each, which names a file
    tally: Tally  # of all images of the split, with --append also the earlier ones
    turned: list[upright.Turned]
    paths: list[str]  # all shards of the split
    size: int  # bytes of the records of this build
    changes: collections.Counter  # sums of what `reading.read` changed
    looks: dict[str, bytes]  # name: `likeness.look` of the images of this build
    lost: dict[str, list[str]]  # what images have lost, as `bands.report.lines` takes it


def build(splits, dataset, rules, config):
    """Writes all splits of a data set and prints what was done.

    Args:
      splits: {split: [`listing.Pair`]}.
      dataset: `catalog.Dataset`; its split sizes, histogram, mean and largest sizes are filled in here.
      rules: `label_rules.LabelRules`, or {split: LabelRules}.
      config: `BuildConfig`.

    Raises:
      UserError: a split is empty or has an impossible name; the folder has shards of it and `config` says neither
        append nor overwrite; there are bad pairs (listed, one a line) and no skip_bad; the folder cannot be written to.
    """
    reserved = [split for split in splits if split.startswith(atomic.UNFINISHED)]
    if reserved:
        raise UserError(f"split {reserved[0]!r}: names that begin with {atomic.UNFINISHED} mark files being written")
    several = [split for split in splits if "," in split]
    if several:
        raise UserError(f"split {several[0]!r}: a comma separates splits in --train_split; choose another name")
    empty = [split for split, pairs in splits.items() if not pairs]
    if empty:
        raise UserError(f"split {empty[0]!r} is empty: check the list file or the folder it comes from")
    try:
        dry_run.make_folder(config)
        with locks.hold(config.output_dir, "output_dir"):
            reports = _write(splits, dataset, rules, config)
    except (tf.errors.OpError, OSError) as error:
        message = one_line(error)
        raise UserError(
            f"--output_dir={config.output_dir}: cannot be written, nothing was left behind: {message}"
        ) from None
    if config.dry_run:
        for split, report in reports.items():
            _tell_findings(split, report, dataset, config)
        _tell_likeness(reports)
        dry_run.tell(splits, reports, config)
        return
    _tell_written(reports, dataset, config)


def _tell_written(reports, dataset, config):
    """Prints how many images were written, and what `_tell_findings` prints."""
    for split, report in reports.items():
        before = report.tally.images - report.written
        added = f", added to the {before} there" if before else ""
        print(f"{split}: {report.written} images in {config.output_dir}{added}")
        _tell_findings(split, report, dataset, config)
    _tell_likeness(reports)


def _tell_findings(split, report, dataset, config):
    """Prints what was done to images and labels, which shapes overlap, and which classes do not occur."""
    lines = upright.summary(report.turned) + reading.summary(report.changes, report.written)
    print("".join(f"{escaping.terminal(line)}\n" for line in lines), end="")
    print("".join(f"{line}\n" for line in bands_report.lines(report.lost)), end="")
    print(_overlap(split, report.changes, config), end="")
    absent = [escaping.terminal(dataset.class_name(label)) for label in _absent(report, dataset)]
    if absent:
        print(f"{split}: {len(absent)} of {dataset.num_classes} classes do not occur: {', '.join(absent[:_ALIKE])}")


def _tell_likeness(reports):
    for line in likeness.report({split: report.looks for split, report in reports.items()}):
        print(escaping.terminal(line))


def _overlap(split, changes, config):
    """Returns a line about annotated shapes that overlap, "" where none do."""
    pixels, hidden = changes["overlap"], changes["hidden"]
    if not pixels:
        return ""
    rule = {"file": "the later one of the file", "smaller": "the smaller one"}[config.overlap]
    told = f"; {hidden} shapes are wholly hidden" if hidden else ""
    other = ", --overlap=smaller shows the smaller one" if config.overlap == "file" else ""
    return f"{split}: shapes of several classes overlap on {pixels} pixels, where {rule} is seen{told}{other}\n"


def _absent(report, dataset):
    return [c for c in range(dataset.num_classes) if c != dataset.ignore_label and not report.tally.histogram[c]]


def _write(splits, dataset, rules, config):
    """Writes the shards, then dataset.json and the metadata of TFDS. Returns {split: report}.

    Nothing is left behind where the shards cannot be written.
    """
    existing = earlier.dataset(dataset, config.output_dir)
    if not (config.append or config.overwrite):
        earlier.refuse_to_replace(splits, config.output_dir)
    with contextlib.ExitStack() as unfinished:  # at its end the shards get their names, after an error they are removed
        reports = {}
        for split, pairs in splits.items():
            own_rules = rules[split] if isinstance(rules, dict) else rules
            own_rules = own_rules._replace(images=_image_rules(existing, config))
            reports[split] = _write_split(split, pairs, own_rules, existing, config, unfinished)
        _refuse_or_report(reports, config)
        _refuse_one_class(reports, dataset)
    if config.dry_run:
        return reports
    _remove_other_shards(reports, config)
    catalog.save(_merged(existing, reports), config.output_dir)
    tfds_metadata.write(config.output_dir)
    return reports


def _image_rules(dataset, config):
    return ImageRules(dataset.bands, dataset.value_range, dataset.num_channels, config.max_image_pixels)


def _write_split(split, pairs, rules, existing, config, unfinished):
    """Writes the shards of one split, which get their names when the `unfinished` ExitStack ends."""
    there = earlier.read(split, existing, config) if config.append else earlier.none()
    first, count = len(there.paths), len(there.paths) + config.num_shards
    names = [tfrecord.shard_name(split, shard, count) for shard in range(count)]
    paths = [tf.io.gfile.join(config.output_dir, name) for name in names]
    if not config.dry_run:
        earlier.renumber(there, paths, unfinished)
    pairs, problems = _without_duplicates(pairs, there.names)
    per_shard = -(-len(pairs) // config.num_shards)  # as in the reference: in order, ceil(n / shards) in each
    tally, before, turned, size = there.tally, there.tally.images, [], 0
    changes, looks = collections.Counter(), {}
    workers = min(config.workers, -(-len(pairs) // 8))  # starting a process takes as long as a few images
    records, lost = make_records(pairs, rules, workers), {}
    with progress_bar.show(len(pairs), "image", split) as bar, contextlib.closing(records):
        for shard, path in enumerate(paths[first:]):
            with dry_run.writer(path, unfinished, config) as writer:
                for _ in range(min(per_shard, len(pairs) - shard * per_shard)):
                    record = next(records)
                    bar.update()
                    if record.problem:
                        problems.append(record.problem)
                        continue
                    for loss in record.losses:
                        lost.setdefault(loss, []).append(record.name)
                    serialized = _serialized(record, rules.images.num_channels)
                    writer.write(serialized)
                    size += len(serialized)
                    tally.add(record.histogram, record.size)
                    turned += [record.turned] if record.turned else []
                    changes.update(record.changes)
                    looks[record.name] = record.look
    return SplitReport(tally.images - before, problems, tally, turned, paths, size, changes, looks, lost)


def _serialized(record, num_channels):
    parts = (record.name, record.image, record.image_format, record.label, *record.size, num_channels)
    example = tfrecord.Example(*parts)
    return tfrecord.serialize(example)


def _without_duplicates(pairs, taken):
    """Returns the pairs whose names are new, and a line about each other one; `taken` are the names in the split."""
    seen, new, problems = set(), [], []
    for pair in pairs:
        if pair.name in taken:
            problems.append(
                f"{pair.image or pair.name}: the name {pair.name} is in the split already (folders in which files have "
                "equal names stay apart if they are built together, --image_dir=a,b)"
            )
        elif pair.name in seen:
            problems.append(f"{pair.image or pair.name}: the name {pair.name} occurs twice in this split")
        else:
            new.append(pair)
        seen.add(pair.name)
    return new, problems


def _refuse_or_report(reports, config):
    problems = [(split, problem) for split, report in reports.items() for problem in report.problems]
    if not problems:
        return
    lines = _grouped(problems)
    if not config.skip_bad:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        summary = f"{count}, nothing was written; mend them or leave the images out with --skip_bad"
        raise UserError("\n".join([summary, *map(escaping.terminal, lines)]))
    print("\n".join([f"{len(problems)} left out (--skip_bad):", *map(escaping.terminal, lines)]))
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
    counts = sum(report.tally.histogram for report in reports.values())
    ignored = counts[dataset.ignore_label]
    classes = [label for label in np.flatnonzero(counts) if label != dataset.ignore_label]
    if dataset.num_classes > 1 and ignored and len(classes) == 1:
        raise UserError(
            f"all labels hold only the values {classes[0]} and {dataset.ignore_label}, which is the ignore label, so "
            "there is nothing to learn. Black and white labels: deeplab build folder --label_format=binary with two "
            "classes; otherwise name another --ignore_label"
        )


def _remove_other_shards(reports, config):
    """Removes the shards of an earlier build of the same splits that had another number of shards."""
    existing = tfrecord.all_shards(config.output_dir)
    for split, report in reports.items():
        for path in set(existing[split]) - set(report.paths):
            tf.io.gfile.remove(path)


def _merged(existing, reports):
    """Returns `existing` with what this build counted in its splits, and the mean size of the training split."""
    size = existing.num_classes
    sizes = {split: report.tally.images for split, report in reports.items()}
    pixels = {split: report.tally.histogram[:size].tolist() for split, report in reports.items()}
    images = {split: report.tally.image_pixels[:size].tolist() for split, report in reports.items()}
    largest = {split: report.tally.largest_size for split, report in reports.items()}
    merged = dataclasses.replace(
        existing,
        splits={**existing.splits, **sizes},
        class_histogram={**existing.class_histogram, **pixels},
        class_image_pixels={**existing.class_image_pixels, **images},
        largest_sizes={**existing.largest_sizes, **largest},
    )
    training = merged.training_split
    return dataclasses.replace(merged, mean_size=reports[training].tally.mean_size) if training in reports else merged
