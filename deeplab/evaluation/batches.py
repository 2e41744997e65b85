"""What eval and vis share: a network that fits a data set, and the images of a split in padded batches."""

import contextlib
import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.config.data import ResizeConfig
from deeplab.data import augment, pipeline, records, sampling, source
from deeplab.errors import UserError
from deeplab.files import progress_bar
from deeplab.inference import trained
from deeplab.inference.predictor import Predictor
from deeplab.layers.resize import resize_bilinear, resize_nearest

DCT_METHOD = "INTEGER_ACCURATE"  # JPEGs as every other program decodes them, so that exports score the same


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A network and the split that it looks at."""

    loaded: trained.Trained | None
    split: source.Split
    predictor: Predictor
    resize: ResizeConfig
    size: tuple  # (height, width) that images are padded to
    source_size: tuple  # (height, width) that holds every image as it is in the data set
    strategy: tf.distribute.Strategy | None = None  # None: one device, or whatever the caller has entered

    @property
    def resizes(self):
        """Tells whether the network sees images of another size than that of the data set."""
        return self.resize.min_resize_value is not None

    def examples(self):
        """Returns the dataset of `pipeline.eval_examples` of the split, once, in file order."""
        return pipeline.eval_examples(self.split, self.resize, dct_method=DCT_METHOD)

    def batches(self, batch_size):
        """Returns the dataset of `padded_batches` of the split; labels also as source_label, padded to source_size."""
        ignore = self.split.dataset.ignore_label
        pad = functools.partial(_pad_source, size=self.source_size, ignore_label=ignore)
        return padded_batches(self.examples().map(pad, tf.data.AUTOTUNE), self.size, batch_size, ignore)

    def at_source(self, batch, predictions):
        """Brings predictions (B, P, Q) for a batch of `batches` to the size that their images have in the data set.

        By nearest neighbour with corners aligned, as exports and the reference do; runs on the device.

        Returns:
          labels, predictions (B, R, S) int32, and (B, 2) int32, the height and width of each.
        """
        if not self.resizes:
            return batch["label"], predictions, batch["sizes"]
        sizes = tf.stack([batch["height"], batch["width"]], axis=1)

        def one(pair):
            prediction, size, source_size = pair
            seen, wanted = tf.maximum(size, 1), tf.maximum(source_size, 1)  # a filler has no pixels
            resized = resize_nearest(prediction[tf.newaxis, : seen[0], : seen[1], tf.newaxis], wanted)[0, :, :, 0]
            return tf.pad(resized, [[0, self.source_size[0] - wanted[0]], [0, self.source_size[1] - wanted[1]]])

        signature = tf.TensorSpec(self.source_size, tf.int32)
        back = tf.map_fn(one, (predictions, batch["sizes"], sizes), fn_output_signature=signature)
        return batch["source_label"], back, sizes


def _pad_source(example, size, ignore_label):
    example = {**example, "height": tf.cast(example["height"], tf.int32), "width": tf.cast(example["width"], tf.int32)}
    if "source_label" in example:
        margins = [[0, size[0] - example["height"]], [0, size[1] - example["width"]]]
        label = tf.pad(example["source_label"], margins, constant_values=ignore_label)
        example["source_label"] = tf.ensure_shape(label, size)
    return example


def prepare(config, split_name, crop_size, strategy=None):
    """Restores the network and opens the split that `config`, an EvalConfig or VisConfig, names.

    Args:
      config: the configuration.
      split_name: which split.
      crop_size: (height, width), or None for the smallest that suits the network and holds every image.
      strategy: a tf.distribute strategy whose devices share the batches, or None.

    Returns:
      An `Evaluation`.

    Raises:
      UserError: folder, checkpoint or split missing; the network has another number of classes than the data set.
    """
    split = source.open_split(config.dataset_dir, split_name, config.dataset_name, config.read)
    overrides = {**config.model, **({"crop_size": crop_size} if crop_size else {})}
    with strategy.scope() if strategy else contextlib.nullcontext():
        loaded = trained.load(
            config.checkpoint_dir,
            config.checkpoint,
            overrides,
            config.model_defaults,
            split.dataset,
            config.use_moving_averages,
        )
        passes = config.passes
        predictor = Predictor(loaded.model, crop_size, passes.eval_scales, passes.add_flipped_images)
    if loaded.config.num_classes != split.dataset.num_classes:
        raise UserError(
            f"{config.checkpoint_dir} predicts {loaded.config.num_classes} classes, {split.dataset.name} in "
            f"{config.dataset_dir} has {split.dataset.num_classes}; name the data set that it was trained on"
        )
    return of(predictor, split, config.resize, crop_size, loaded, strategy)


def of(predictor, split, resize, crop_size=None, loaded=None, strategy=None):
    """Returns the `Evaluation` of a network on a split, with images padded to `crop_size` or what suits them best."""
    height, width = largest_size(split, resize)
    if crop_size is None:
        crop_size = predictor.padded_side(height, 0), predictor.padded_side(width, 1)
    if height > crop_size[0] or width > crop_size[1]:
        raise UserError(
            f"crop size {crop_size[0]},{crop_size[1]}: images of {split.name} have up to {height}x{width} pixels; "
            "give a larger one, or leave it out"
        )
    source_size = largest_size(split, ResizeConfig()) if resize.min_resize_value is not None else (height, width)
    return Evaluation(loaded, split, predictor, resize, tuple(crop_size), source_size, strategy)


class View(NamedTuple):
    """One image of a split and what the network makes of it, NumPy arrays of the image's size in the data set."""

    filename: str  # as in the records
    image: np.ndarray  # (H, W, 3) uint8
    label: np.ndarray  # (H, W) int32
    prediction: np.ndarray  # (H, W) int32


def views(subject, batch_size, total):
    """Yields the `View` of the first `total` images of an `Evaluation`, in file order; shows progress."""

    @tf.function
    def predict(batch):
        predictions, _probabilities = subject.predictor.on_padded(batch["image"], batch["sizes"])
        return subject.at_source(batch, predictions)

    left = total
    with progress_bar.show(total, "image") as bar, records.user_errors():
        for batch in subject.batches(batch_size):
            names = batch.pop("filename").numpy()
            labels, predictions, sizes = (tensor.numpy() for tensor in predict(batch))
            for i, (height, width) in enumerate(sizes[: min(left, batch_size)]):
                seen = batch["sizes"][i].numpy()
                image = _image_of_size(batch["image"][i, : seen[0], : seen[1]], (height, width))
                yield View(names[i].decode(), image, labels[i, :height, :width], predictions[i, :height, :width])
                bar.update()
            left -= batch_size
            if left <= 0:
                return


def _image_of_size(image, size):
    """Returns an image (h, w, 3) as the network saw it as (H, W, 3) uint8 of `size`."""
    if tuple(image.shape[:2]) != tuple(size):
        image = resize_bilinear(image[tf.newaxis], size)[0]
    return image.numpy().round().clip(0, 255).astype(np.uint8)


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
        values = {"label": ignore_label, "source_label": ignore_label, "filename": ""}
        return {name: _fill(tensor, missing, batch_size, values.get(name, 0)) for name, tensor in batch.items()}

    return examples.map(pad, tf.data.AUTOTUNE).batch(batch_size).map(fill).prefetch(2)


def _fill(tensor, missing, batch_size, value):
    margins = [[0, missing], *[[0, 0]] * (tensor.shape.rank - 1)]
    if tensor.dtype == tf.string:
        filled = tf.concat([tensor, tf.fill([missing], value)], axis=0)
    else:
        filled = tf.pad(tensor, margins, constant_values=tf.cast(value, tensor.dtype))
    return tf.ensure_shape(filled, (batch_size, *tensor.shape[1:]))
