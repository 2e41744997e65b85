"""Runs a network over a whole split and counts its pixels: the ways to get the scores of a split.

* `score` feeds padded batches to one or more devices, which count the pixels themselves. It is the fast way.
* `score_in_stacks` segments images of one size together with any function, e.g. that of an export.
* `score_each` segments one image at a time with any function.
* `score_in_tiles` is `score_each` for images that are too large for the memory.

All of them see every image once and count the pixels of the whole split in one confusion matrix. The scores therefore
do not depend on the order of the images, on the batch size or on the number of devices.
"""

import contextlib
import itertools
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.config.data import ResizeConfig
from deeplab.data import records
from deeplab.evaluation import batches
from deeplab.evaluation.metrics import ConfusionMatrix, Scores
from deeplab.files import progress_bar
from deeplab.inference import batch_size as images_at_once
from deeplab.inference import two_at_once
from deeplab.inference.tiles import window
from deeplab.layers.resize import resize_labels


class SplitScores(NamedTuple):
    """The `metrics.Scores` of a split at two sizes of its images.

    They are one and the same object if the images are not resized, because padded pixels are ignored.
    """

    seen: Scores  # at the size at which the network sees the images; this is what the reference reports
    source: Scores  # at the size of the images in the data set, with predictions brought back to it


class Collector(Protocol):
    """What computes further scores of a split from its labels and predictions, e.g. `boundary.TrimapScores`."""

    def add(self, label: np.ndarray, prediction: np.ndarray) -> None:
        """Counts one image; both arrays are (H, W) int32 at source size."""


class _ConfusionMatrices:
    """Counts the pixels of a split for its `SplitScores`."""

    def __init__(self, dataset, resizes):
        self.seen = ConfusionMatrix(dataset.num_classes, dataset.ignore_label)
        self.source = ConfusionMatrix(dataset.num_classes, dataset.ignore_label) if resizes else None

    def update(self, labels, predictions, source_labels, source_predictions):
        self.seen.update(labels, predictions)
        if self.source is not None:
            self.source.update(source_labels, source_predictions)

    def result(self):
        seen = Scores.from_confusion(self.seen.result())
        source = seen if self.source is None else Scores.from_confusion(self.source.result())
        return SplitScores(seen, source)


def score(split_predictor, batch_size, collectors=()):
    """Scores a network on its whole split, in padded batches that the devices share; shows progress.

    Pixels are counted on the devices. Labels and predictions come back to the host only if a collector asks for them.

    Args:
      split_predictor: the `SplitPredictor`.
      batch_size: number of images in a step of one device; it changes speed and memory, not the scores.
      collectors: `Collector`s that are given every image.

    Returns:
      `SplitScores`.
    """
    strategy = split_predictor.strategy or _OneDevice()
    with strategy.scope():  # every replica counts in a variable of its own; reading the variable sums over replicas
        matrices = _ConfusionMatrices(split_predictor.split.dataset, split_predictor.resizes)

    def step(batch):
        predictions = split_predictor.predict(batch)
        labels, source_predictions, source_sizes = split_predictor.to_source_size(batch, predictions)
        matrices.update(batch["label"], predictions, labels, source_predictions)
        return (labels, source_predictions, source_sizes) if collectors else ()  # what is returned goes to the host

    plan, replicas = split_predictor.plan(batch_size), strategy.num_replicas_in_sync
    stream = split_predictor.batches(plan, fillers=-len(plan) % replicas).map(_without_filename)
    if replicas > 1:  # every replica gets a batch of the plan
        stream = strategy.distribute_datasets_from_function(lambda _: stream)
    with progress_bar.show(len(split_predictor.split), "image") as bar, records.reading(split_predictor.split):
        iterator = devices.iterate(stream)
        # One trace for images of every size.
        run = tf.function(lambda batch: strategy.run(step, args=(batch,)), input_signature=[stream.element_spec])
        before = ()  # what the last step returned; a GPU computes the next step while collectors look at it
        for first, values in zip(range(0, len(plan), replicas), _steps(run, iterator, strategy), strict=True):
            by_replica = [strategy.experimental_local_results(value) for value in values]
            _collect(collectors, before)
            before = list(zip(*by_replica, strict=True)) if collectors else ()
            bar.update(sum(map(len, plan[first : first + replicas])))
        _collect(collectors, before)
    return matrices.result()


def _steps(run, stream, strategy):
    """Yields run(batch) of all batches of a stream. On a CPU that is one device, two of them are computed at a time."""
    if not isinstance(strategy, _OneDevice):
        return map(run, stream)  # the replicas of a strategy wait for each other
    run.get_concrete_function()  # traced here, since a thread does not know the device that the caller has chosen
    return two_at_once.results(run, stream, batches.pixels)


class _OneDevice:
    """Stands in for a tf.distribute strategy in `score`: runs the network where the caller has put it."""

    num_replicas_in_sync = 1
    scope = staticmethod(contextlib.nullcontext)

    def run(self, function, args):
        return function(*args)

    def experimental_local_results(self, value):
        return (value,)


def _without_filename(batch):
    return {name: tensor for name, tensor in batch.items() if name != "filename"}  # text does not go to a GPU


def _collect(collectors, replicas):
    """Gives the images of a step to the collectors, without padding and without fillers.

    `replicas` has the labels, predictions and sizes of each replica.
    """
    for tensors in replicas:
        for label, prediction, (height, width) in zip(*(tensor.numpy() for tensor in tensors), strict=True):
            if height:
                for collector in collectors:
                    collector.add(label[:height, :width], prediction[:height, :width])


def score_in_stacks(split, segment, batch_size=None, collectors=()):
    """Scores a function on a whole split, without padding and without resizing; shows progress.

    Args:
      split: the `source.Split`.
      segment: function from images (B, H, W, C), as the records hold them, to their class ids, a tensor (B, H, W) int32
        that the device may still compute when the function returns.
      batch_size: the most images of one size that it gets at once; None takes what suits the device and the size.
      collectors: `Collector`s that are given every image.

    Returns:
      `SplitScores`.
    """
    matrices = _ConfusionMatrices(split.dataset, resizes=False)
    plan = [[number] for number in range(len(split))]
    if images_at_once.largest(batch_size) > 1:
        sizes, _resized = batches.image_sizes(split, ResizeConfig())
        plan = batches.plan(sizes.tolist(), lambda size: images_at_once.images_at_once(batch_size, *size))
    with progress_bar.show(len(split), "image") as bar, records.reading(split):
        examples, before = iter(batches.examples(split, numbers=list(itertools.chain(*plan)), as_stored=True)), ()
        stacks = (_stack(itertools.islice(examples, len(numbers))) for numbers in plan)

        def step(stack):
            images, labels = stack
            predictions = segment(images)
            matrices.update(labels, predictions, labels, predictions)
            return labels, predictions

        found = two_at_once.results(step, stacks, lambda stack: stack[1].size)
        for numbers, (labels, predictions) in zip(plan, found, strict=True):
            _collect(collectors, before)
            sizes = tf.constant([labels.shape[1:]] * len(labels))
            before = [(tf.constant(labels), predictions, sizes)] if collectors else ()
            bar.update(len(numbers))
        _collect(collectors, before)
    return matrices.result()


def _stack(examples):
    """Returns images (B, H, W, 3) uint8 and labels (B, H, W) int32 of examples of one size."""
    pairs = [(one["image"].numpy(), one["label"].numpy()) for one in examples]
    return tuple(np.stack(arrays) for arrays in zip(*pairs, strict=True))


def score_each(split, segment, resize=None, collectors=()):
    """Scores a function on a whole split, one image at a time and without padding; shows progress.

    Args:
      split: the `source.Split`.
      segment: function from an image (H, W, 3) to its class ids (H, W) int32, both NumPy arrays.
      resize: the `ResizeConfig` that says at which size `segment` sees the images; None for their source size.
      collectors: `Collector`s that are given every image.

    Returns:
      `SplitScores`.
    """
    resizes = resize is not None and resize.min_resize_value is not None
    matrices = _ConfusionMatrices(split.dataset, resizes)
    with progress_bar.show(len(split), "image") as bar, records.reading(split):
        for example in batches.examples(split, resize):
            label, prediction = example["label"].numpy(), segment(example["image"].numpy())
            source_label, source_prediction = label, prediction
            if resizes:
                source_label = example["source_label"].numpy()
                source_prediction = resize_labels(tf.constant(prediction)[None], source_label.shape)[0].numpy()
            matrices.update(label, prediction, source_label, source_prediction)
            for collector in collectors:
                collector.add(source_label, source_prediction)
            bar.update()
    return matrices.result()


def score_in_tiles(split_predictor, tiles, collectors=()):
    """Scores a network on its whole split in tiles, as the `TilesConfig` says, which bounds the memory for an image.

    Takes the other arguments and returns the scores as `score_each`.
    """
    segment = window(split_predictor.predictor, tiles)
    return score_each(split_predictor.split, segment, split_predictor.resize, collectors)
