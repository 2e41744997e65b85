"""`--dry_run` of the builders: everything is read and checked as in a build, and no shard is written."""

import contextlib

import tensorflow as tf

from deeplab.data.building.bands import report as bands_report
from deeplab.files import atomic, room


def make_folder(config):
    """Makes the output folder of a `BuildConfig`; with `dry_run`, raises a UserError if it could not be made."""
    if config.dry_run:
        room.require(config.output_dir, "output_dir", 0)
    else:
        tf.io.gfile.makedirs(config.output_dir)


@contextlib.contextmanager
def writer(path, unfinished, config):
    """Gives the writer of a shard for a `with`; with `config.dry_run` it throws away what it gets.

    Args:
      path: the shard, which gets its name when the `unfinished` ExitStack ends.
      config: the `BuildConfig`.
    """
    if config.dry_run:
        yield _Nowhere()
        return
    with tf.io.TFRecordWriter(unfinished.enter_context(atomic.replacing(path))) as shard:
        yield shard


class _Nowhere:
    """Stands in for a TFRecordWriter."""

    def write(self, record):
        """Writes nothing."""


def tell(splits, reports, config):
    """Prints what a build would do; writes nothing.

    Args:
      splits: {split: [`listing.Pair`]} that were found.
      reports: {split: `builder.SplitReport`} of these pairs.
      config: the `BuildConfig`.

    Raises:
      UserError: the folder could not be written to, or its disk has too little room.
    """
    for split, report in reports.items():
        pairs = splits[split]
        print("".join(f"{line}\n" for line in bands_report.lines(report.lost)), end="")
        lone = {"label": sum(pair.label is None for pair in pairs), "image": sum(pair.image is None for pair in pairs)}
        missing = "".join(f", {count} without {kind}" for kind, count in lone.items() if count)
        paired = len(pairs) - sum(lone.values())
        print(
            f"{split}: found {len(pairs)}, paired {paired}{missing}; {report.written} would be written in "
            f"{room.size_text(report.size)}"
        )
    disk = room.require(config.output_dir, "output_dir", sum(report.size for report in reports.values()))
    print(f"Disk: {disk}\nNothing was written; the same command without --dry_run builds", flush=True)
