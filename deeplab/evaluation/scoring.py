"""Scores of a split: every image once, streamed; pixels are counted on the device."""

import contextlib
from typing import NamedTuple

import tensorflow as tf

from deeplab import devices
from deeplab.data import records
from deeplab.evaluation.metrics import ConfusionMatrix, Scores
from deeplab.files import progress_bar
from deeplab.inference import tiles as sliding
from deeplab.layers.resize import resize_nearest


class Result(NamedTuple):
    """The `metrics.Scores` of a split, twice.

    `seen` compares labels of the size that the network sees images in with its predictions, as the reference does;
    `source` compares labels as they are in the data set with predictions brought back to their size. Where images are
    not resized the two are one object: padded pixels are ignored.
    """

    seen: Scores
    source: Scores


class _Counts:
    """The confusion matrices of a `Result`."""

    def __init__(self, dataset, resizes):
        classes = dataset.num_classes, dataset.ignore_label
        self.seen = ConfusionMatrix(*classes)
        self.source = ConfusionMatrix(*classes) if resizes else None

    def update(self, labels, predictions, source_labels, source_predictions):
        self.seen.update(labels, predictions)
        if self.source is not None:
            self.source.update(source_labels, source_predictions)

    def result(self):
        seen = Scores.of(self.seen.result())
        return Result(seen, seen if self.source is None else Scores.of(self.source.result()))


def score(subject, batch_size, collectors=()):
    """Returns the `Result` of an `evaluation.Evaluation` over its whole split; shows progress.

    Args:
      subject: the `Evaluation`.
      batch_size: images in a step of one device; the scores do not depend on it, nor on the number of devices.
      collectors: objects whose `add(label, prediction)` is called with every image at source size, see `boundary`.
    """
    strategy = subject.strategy or _OneDevice()
    with strategy.scope():
        counts = _Counts(subject.split.dataset, subject.resizes)

    def step(batch):
        predictions, _probabilities = subject.predictor.on_padded(batch["image"], batch["sizes"])
        labels, at_source, sizes = subject.at_source(batch, predictions)
        counts.update(batch["label"], predictions, labels, at_source)
        return labels, at_source, sizes

    run = tf.function(lambda batch: strategy.run(step, args=(batch,)))
    together = batch_size * strategy.num_replicas_in_sync
    stream = subject.batches(together).map(_without_names)
    if strategy.num_replicas_in_sync > 1:
        stream = strategy.distribute_datasets_from_function(lambda _: stream.rebatch(batch_size, drop_remainder=True))
    with progress_bar.show(len(subject.split), "image") as bar, records.user_errors():
        for batch in devices.iterate(stream):
            results = [strategy.experimental_local_results(one) for one in run(batch)]
            for labels, predictions, sizes in zip(*results, strict=True) if collectors else ():
                _collect(collectors, labels.numpy(), predictions.numpy(), sizes.numpy())
            bar.update(min(together, bar.total - bar.n))
    return counts.result()


class _OneDevice:
    """What `score` needs of a strategy, for a network that lives where the caller put it."""

    num_replicas_in_sync = 1
    scope = staticmethod(contextlib.nullcontext)

    def run(self, function, args):
        return function(*args)

    def experimental_local_results(self, value):
        return (value,)


def _without_names(batch):
    return {name: tensor for name, tensor in batch.items() if name != "filename"}  # texts do not go to a GPU


def _collect(collectors, labels, predictions, sizes):
    for label, prediction, (height, width) in zip(labels, predictions, sizes, strict=True):
        for collector in collectors if height else ():  # a filler has no pixels
            collector.add(label[:height, :width], prediction[:height, :width])


def score_each(subject, segment, collectors=()):
    """Returns the `Result` of a function on the images of a split, one by one at their own size; shows progress.

    Args:
      subject: what has `split`, `resizes` and `examples()`, as an `evaluation.Evaluation` has.
      segment: function (H, W, 3) array -> (H, W) int32 labels.
      collectors: as for `score`.
    """
    counts = _Counts(subject.split.dataset, subject.resizes)
    with progress_bar.show(len(subject.split), "image") as bar, records.user_errors():
        for example in subject.examples():
            label, prediction = example["label"].numpy(), segment(example["image"].numpy())
            source_label, back = label, prediction
            if subject.resizes:
                source_label = example["source_label"].numpy()
                back = resize_nearest(tf.constant(prediction)[None, :, :, None], source_label.shape)[0, :, :, 0].numpy()
            counts.update(label, prediction, source_label, back)
            for collector in collectors:
                collector.add(source_label, back)
            bar.update()
    return counts.result()


def score_in_tiles(subject, tiles, collectors=()):
    """As `score_each`, with the tiles that a `TilesConfig` describes."""
    return score_each(subject, sliding.window(subject.predictor, tiles), collectors)
