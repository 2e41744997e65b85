"""A network together with the split whose images it predicts: what eval, vis and evaluation while training start from.

An image passes through up to three sizes. In the data set it has its source size. `ResizeConfig` may bring it to
another size, at which the network sees it. The network then pads it at the bottom and right; padding is replaced by the
backbone's padding pixel before the network sees it, and is never scored.

Every image is padded as the `Predictor` pads an image that comes alone, whatever the other images of the split are. So
what a network predicts for an image in eval and vis is what predict and the exports give.
"""

import contextlib
import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.config.data import ResizeConfig
from deeplab.data import catalog, records, source
from deeplab.errors import UserError
from deeplab.evaluation import batches
from deeplab.files import escaping, progress_bar
from deeplab.inference import batch_size as batch_size_of
from deeplab.inference import input_size, trained, two_at_once, untrained
from deeplab.inference.predictor import Predictor
from deeplab.layers.resize import resize_bilinear, resize_labels
from deeplab.pictures.bands import shown


@dataclasses.dataclass(frozen=True)
class SplitPredictor:
    """Predicts the images of one split in padded batches.

    Attributes:
      predictor: the network with its padding, scales and flips.
      split: the records of the images.
      resize: the size at which the network sees the images.
      crop_size: (height, width) that all images are padded to after resizing. None: each image is padded to the
        smallest size that suits the network and holds it.
      source_sizes: (N, 2), the height and width of every image in the data set.
      sizes: (N, 2), the same after resizing.
      strategy: shares the batches among its devices. With None the network runs where the caller has put it.
    """

    predictor: Predictor
    split: source.Split
    resize: ResizeConfig
    crop_size: tuple[int, int] | None
    source_sizes: np.ndarray
    sizes: np.ndarray
    strategy: tf.distribute.Strategy | None = None

    @property
    def resizes(self):
        """Tells whether the network sees images at another size than their source size."""
        return self.resize.min_resize_value is not None

    def padded_size(self, height, width):
        """Returns the (height, width) that an image of these sides is padded to, all ints or all int32 scalars."""
        if self.crop_size is not None:
            return self.crop_size
        return self.predictor.padded_side(height, 0), self.predictor.padded_side(width, 1)

    def describe(self, batch_size):
        """Returns in words how many images of which size the network sees at a time, for messages."""
        height, width = self.padded_size(*self.sizes.max(axis=0).tolist())
        batch_size = batch_size_of.images_at_once(batch_size, height, width)
        return f"{batch_size} image{'s' * (batch_size > 1)} of up to {height}x{width} pixels at a time"

    def plan(self, batch_size, total=None):
        """Returns the numbers of the images in each batch, see `batches.plan`.

        Args:
          batch_size: the most images in a batch; None takes what suits the device and the size of the images.
          total: take so many images, the first ones, in file order. None takes all, in the order that suits batches.
        """
        if self.resizes:  # labels are compared at source size, too
            shapes = [
                (*size, *source) for size, source in zip(self.sizes.tolist(), self.source_sizes.tolist(), strict=True)
            ]
        else:
            shapes = [self.padded_size(*size) for size in self.sizes.tolist()]

        def most(shape):
            return batch_size_of.images_at_once(batch_size, *self.padded_size(*shape[:2]))

        return batches.plan(shapes[:total], most, in_order=total is not None)

    def batches(self, plan, fillers=0):
        """Returns the batches of a `plan` as `batches.padded_batches`, and after them so many fillers.

        Batches also hold `height` and `width`, (B,) int32, the source size of each image. If images are resized, all
        images of a batch have one source size, and the batches hold `source_label` as well, (B, height, width) int32.
        """
        numbers = [number for batch in plan for number in batch]
        examples = batches.examples(self.split, self.resize, numbers).map(_with_int32_size)
        counts = [len(batch) for batch in plan]
        return batches.padded_batches(examples, counts, self.padded_size, self.split.dataset.ignore_label, fillers)

    def predict(self, batch):
        """Returns the class ids (B, P, Q) int32 that the network predicts for a batch of `batches`."""
        labels, _probabilities = self.predictor.on_padded(batch["image"], batch["sizes"])
        return labels

    def to_source_size(self, batch, predictions):
        """Brings predictions to the source size of their images; usable inside tf.function.

        Class ids cannot be interpolated, so they are resized to the nearest neighbour with aligned corners, as exports
        and the reference do.

        Args:
          batch: one of `batches`.
          predictions: (B, P, Q) int32, as `predict` returns them for this batch.

        Returns:
          labels and predictions, (B, R, S) int32 each, and the (height, width) of each image in them, (B, 2) int32.
        """
        if not self.resizes:
            return batch["label"], predictions, batch["sizes"]
        source_sizes = tf.stack([batch["height"], batch["width"]], axis=1)
        # A filler has no pixels, and nothing can be resized to or from 0 pixels.
        size, source_size = tf.maximum(batch["sizes"][0], 1), tf.maximum(source_sizes[0], 1)
        floating = tf.cast(predictions, tf.float32)[:, : size[0], : size[1]]  # GPUs cut int32 on the host
        resized = tf.cast(resize_labels(floating, source_size), predictions.dtype)
        return batch["source_label"], resized, source_sizes


def restore_split_predictor(config, split_name, crop_size, strategy=None):
    """Restores the network and opens the split that `config` names.

    Args:
      config: an `EvalConfig` or a `VisConfig`.
      split_name: name of the split, e.g. "val".
      crop_size: (height, width) that all images are padded to; None for the smallest size that suits the network and
        holds the image, for each image by itself.
      strategy: a tf.distribute strategy whose devices share the batches, or None.

    Returns:
      The `trained.Trained` that was restored, and its `SplitPredictor`.

    Raises:
      UserError: folder, checkpoint or split is missing, or the network predicts other classes than the
        data set has.
    """
    split = source.open_split(config.dataset_dir, split_name, config.dataset_name, config.read)
    catalog.refuse_other(config.dataset, split.dataset)
    overrides = {**config.model, **({"crop_size": crop_size} if crop_size else {})}
    with strategy.scope() if strategy else contextlib.nullcontext():
        loaded = trained.load_configured(config, config.weights, overrides, split.dataset)
        passes = config.passes
        predictor = Predictor(loaded.model, crop_size, passes.eval_scales, passes.add_flipped_images)
    catalog.require_same_classes(loaded.dataset, split.dataset, config.weights, config.dataset_dir)
    split_predictor = make_split_predictor(predictor, split, config.resize, crop_size, strategy)
    largest = split_predictor.padded_size(*split_predictor.sizes.max(axis=0).tolist())
    untrained.treat(loaded, config.zero_untrained_taps, largest, passes.eval_scales)
    source_size = split_predictor.source_sizes.max(axis=0).tolist()
    input_size.warn_of_larger(split_name, source_size, loaded.trained_size)
    return loaded, split_predictor


def make_split_predictor(predictor, split, resize, crop_size=None, strategy=None):
    """Returns the `SplitPredictor` of a network on a split, and looks at the sizes of all images.

    Args:
      predictor: the `Predictor` of the network.
      split: the `source.Split`.
      resize: the `ResizeConfig` that says at which size the network sees the images.
      crop_size: (height, width) that all images are padded to; None for the smallest size that suits the network and
        holds the image, for each image by itself.
      strategy: a tf.distribute strategy whose devices share the batches, or None.

    Raises:
      UserError: an image of the split is larger than `crop_size`.
    """
    crop_size = crop_size or predictor.fixed_size
    source_sizes, sizes = batches.image_sizes(split, resize)
    height, width = sizes.max(axis=0)
    if crop_size and (height > crop_size[0] or width > crop_size[1]):
        raise UserError(
            f"crop size {crop_size[0]},{crop_size[1]}: images of {split.name} have up to {height}x{width} pixels; "
            "give a larger one, or leave it out"
        )
    return SplitPredictor(predictor, split, resize, crop_size and tuple(crop_size), source_sizes, sizes, strategy)


class PredictedImage(NamedTuple):
    """One image of a split and what the network predicts for it, NumPy arrays at source size."""

    filename: str  # as in the records
    image: np.ndarray  # (H, W, 3) uint8, as `pictures.bands.shown` shows it
    label: np.ndarray  # (H, W) int32
    prediction: np.ndarray  # (H, W) int32


def predicted_images(split_predictor, batch_size, total):
    """Yields the first `total` images of a split, in file order, each as a `PredictedImage`; shows progress."""

    dataset, plan = split_predictor.split.dataset, split_predictor.plan(batch_size, total)
    stream = split_predictor.batches(plan)
    signature = {name: spec for name, spec in stream.element_spec.items() if name != "filename"}

    @tf.function(input_signature=[signature])  # one trace for images of every size
    def predict(batch):
        return split_predictor.to_source_size(batch, split_predictor.predict(batch))

    predict.get_concrete_function()

    def step(batch):
        filenames = batch.pop("filename")  # text does not go to a GPU
        return filenames, batch, [tensor.numpy() for tensor in predict(batch)]

    with progress_bar.show(total, "image") as bar, records.reading(split_predictor.split):
        found = two_at_once.results(step, stream, batches.pixels)
        for filenames, batch, (labels, predictions, source_sizes) in found:
            seen_sizes = batch["sizes"].numpy()
            for i, (height, width) in enumerate(source_sizes):
                rows, columns = seen_sizes[i]
                image = _image_of_size(batch["image"][i, :rows, :columns], (height, width), dataset)
                label, prediction = labels[i, :height, :width], predictions[i, :height, :width]
                yield PredictedImage(escaping.decoded(filenames[i].numpy()), image, label, prediction)
                bar.update()


def _with_int32_size(example):
    return {**example, "height": tf.cast(example["height"], tf.int32), "width": tf.cast(example["width"], tf.int32)}


def _image_of_size(image, size, dataset):
    """Returns an image (h, w, C), as the network saw it, as (H, W, 3) uint8 of `size`."""
    if tuple(image.shape[:2]) != tuple(size):
        image = resize_bilinear(image[tf.newaxis], size)[0]
    if dataset.stores_bands:
        return shown.rgb(image.numpy())
    return image.numpy().round().clip(0, 255).astype(np.uint8)
