"""What eval and vis share: a network that fits a data set, and the images of a split in padded batches."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from deeplab import trained
from deeplab.data import augment, catalog, pipeline, records, sampling, source
from deeplab.errors import UserError
from deeplab.inference import Predictor
from deeplab.metrics import ConfusionMatrix, Scores
from deeplab.sliding import SlidingWindow

DCT_METHOD = "INTEGER_ACCURATE"  # JPEGs as every other program decodes them, so that exports score the same


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A network and the split that it looks at."""

    loaded: trained.Trained
    split: source.Split
    predictor: Predictor
    size: tuple  # (height, width) that images are padded to

    def raw_ids(self, labels):
        """Returns class ids as the data set's evaluation server expects them (Cityscapes: its raw ids)."""
        if self.split.dataset.name != "cityscapes":
            return labels
        return np.asarray(catalog.CITYSCAPES_RAW_IDS)[labels]

    def batches(self, resize, batch_size):
        """Returns the dataset of `padded_batches` of the split, once, in file order."""
        examples = pipeline.eval_examples(self.split, resize, dct_method=DCT_METHOD)
        return padded_batches(examples, self.size, batch_size, self.split.dataset.ignore_label)


def prepare(config, split_name, crop_size):
    """Restores the network and opens the split that `config`, an EvalConfig or VisConfig, names.

    Args:
      config: the configuration.
      split_name: which split.
      crop_size: (height, width), or None for the smallest that suits the network and holds every image.

    Returns:
      An `Evaluation`.

    Raises:
      UserError: folder, checkpoint or split missing; the network has another number of classes than the data set.
    """
    split = source.open_split(config.dataset_dir, split_name, config.dataset_name, config.read)
    overrides = {**config.model, **({"crop_size": crop_size} if crop_size else {})}
    loaded = trained.load(
        config.checkpoint_dir,
        config.checkpoint,
        overrides,
        config.model_defaults,
        split.dataset,
        config.use_moving_averages,
    )
    if loaded.config.num_classes != split.dataset.num_classes:
        raise UserError(
            f"{config.checkpoint_dir} predicts {loaded.config.num_classes} classes, {split.dataset.name} in "
            f"{config.dataset_dir} has {split.dataset.num_classes}; name the data set that it was trained on"
        )
    passes = config.passes
    predictor = Predictor(loaded.model, crop_size, passes.eval_scales, passes.add_flipped_images)
    return of(predictor, split, config.resize, crop_size, loaded)


def of(predictor, split, resize, crop_size=None, loaded=None):
    """Returns the `Evaluation` of a network on a split, with images padded to `crop_size` or what suits them best."""
    height, width = largest_size(split, resize)
    if crop_size is None:
        crop_size = predictor.padded_side(height, 0), predictor.padded_side(width, 1)
    if height > crop_size[0] or width > crop_size[1]:
        raise UserError(
            f"crop size {crop_size[0]},{crop_size[1]}: images of {split.name} have up to {height}x{width} pixels; "
            "give a larger one, or leave it out"
        )
    return Evaluation(loaded, split, predictor, tuple(crop_size))


class View(NamedTuple):
    """One image of a split and what the network makes of it, NumPy arrays of one size."""

    filename: str  # without suffix
    image: np.ndarray  # (H, W, 3) uint8
    label: np.ndarray  # (H, W) int32
    prediction: np.ndarray  # (H, W) int32


def views(subject, resize, batch_size, total):
    """Yields the `View` of the first `total` images of an `Evaluation`, in file order; shows progress."""
    predict = tf.function(lambda images, sizes: subject.predictor.on_padded(images, sizes)[0])
    left = total
    with progress(total, "image") as bar, records.user_errors():
        for batch in subject.batches(resize, batch_size):
            predictions = predict(batch["image"], batch["sizes"]).numpy()
            batch = {name: tensor.numpy() for name, tensor in batch.items()}
            for i, (height, width) in enumerate(batch["sizes"][: min(left, batch_size)]):
                image = batch["image"][i, :height, :width].round().clip(0, 255).astype(np.uint8)
                name = batch["filename"][i].decode()
                yield View(name, image, batch["label"][i, :height, :width], predictions[i, :height, :width])
                bar.update()
            left -= batch_size
            if left <= 0:
                return


def score(subject, resize, batch_size, collectors=()):
    """Returns the `metrics.Scores` of an `Evaluation` over its whole split; shows progress.

    Args:
      subject: the `Evaluation`.
      resize: `ResizeConfig` of the images; labels are resized alike, as the reference scores them.
      batch_size: images in a step; the scores do not depend on it.
      collectors: objects whose `add(label, prediction)` is called with every image, see `boundary`.
    """
    dataset = subject.split.dataset
    matrix = ConfusionMatrix(dataset.num_classes, dataset.ignore_label)

    @tf.function
    def step(images, sizes, labels):
        predictions, _probabilities = subject.predictor.on_padded(images, sizes)
        matrix.update(labels, predictions)
        return predictions

    with progress(len(subject.split), "image") as bar, records.user_errors():
        for batch in subject.batches(resize, batch_size):
            predictions = step(batch["image"], batch["sizes"], batch["label"])
            if collectors:
                pairs = zip(batch["label"].numpy(), predictions.numpy(), batch["sizes"].numpy(), strict=True)
                for label, prediction, (height, width) in pairs:
                    for collector in collectors if height else ():  # a filler has no pixels
                        collector.add(label[:height, :width], prediction[:height, :width])
            bar.update(min(batch_size, bar.total - bar.n))
    return Scores.of(matrix.result())


def score_in_tiles(subject, resize, tiles, collectors=()):
    """Returns the `metrics.Scores` of an `Evaluation`, each image looked at in overlapping tiles; shows progress.

    Args:
      subject, resize, collectors: as for `score`.
      tiles: a `TilesConfig`.
    """
    dataset = subject.split.dataset
    matrix = ConfusionMatrix(dataset.num_classes, dataset.ignore_label)
    window = SlidingWindow(subject.predictor, tiles.tile_size, tiles.tile_overlap)
    with progress(len(subject.split), "image") as bar, records.user_errors():
        for example in pipeline.eval_examples(subject.split, resize, dct_method=DCT_METHOD):
            label, prediction = example["label"].numpy(), window(example["image"].numpy())
            matrix.update(label, prediction)
            for collector in collectors:
                collector.add(label, prediction)
            bar.update()
    return Scores.of(matrix.result())


def progress(total, unit):
    """Returns a tqdm bar that is quiet where nobody watches."""
    return tqdm.tqdm(total=total, unit=unit, disable=None, dynamic_ncols=True)


def largest_size(split, resize):
    """Returns the smallest (height, width) that holds every image of a split after resizing; decodes none."""

    def size(number):
        height, width = sampling.image_size(split.record(number)["image"])
        return tf.stack(augment.range_size(height, width, resize))

    sizes = tf.data.Dataset.range(len(split)).map(size, tf.data.AUTOTUNE)
    return tuple(int(side) for side in sizes.reduce(tf.constant([1, 1]), tf.maximum))


def padded_batches(examples, size, batch_size, ignore_label):
    """Pads examples to one size and batches them; a short last batch is filled with wholly ignored examples.

    Args:
      examples: tf.data.Dataset of dicts with `image` (H, W, 3), and what belongs to it, e.g. `label` (H, W).
      size: (height, width) that holds every image.
      batch_size: examples in a batch.
      ignore_label: what labels are padded with.

    Returns:
      A tf.data.Dataset of dicts: `image` (B, P, Q, 3), `sizes` (B, 2) int32, zeros where a filler is, and the rest.
    """

    def pad(example):
        image = example["image"]
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        below, right = size[0] - height, size[1] - width
        padded = {**example, "image": tf.pad(image, [[0, below], [0, right], [0, 0]]), "sizes": [height, width]}
        padded["image"] = tf.ensure_shape(padded["image"], (*size, 3))
        if "label" in example:
            label = tf.pad(example["label"], [[0, below], [0, right]], constant_values=ignore_label)
            padded["label"] = tf.ensure_shape(label, size)
        return padded

    def fill(batch):
        missing = batch_size - tf.shape(batch["sizes"])[0]
        values = {"label": ignore_label, "filename": ""}
        return {name: _fill(tensor, missing, batch_size, values.get(name, 0)) for name, tensor in batch.items()}

    return examples.map(pad, tf.data.AUTOTUNE).batch(batch_size).map(fill).prefetch(2)


def _fill(tensor, missing, batch_size, value):
    margins = [[0, missing], *[[0, 0]] * (tensor.shape.rank - 1)]
    if tensor.dtype == tf.string:
        filled = tf.concat([tensor, tf.fill([missing], value)], axis=0)
    else:
        filled = tf.pad(tensor, margins, constant_values=tf.cast(value, tensor.dtype))
    return tf.ensure_shape(filled, (batch_size, *tensor.shape[1:]))
