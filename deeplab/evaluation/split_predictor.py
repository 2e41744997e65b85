"""A network together with the split whose images it predicts: what eval, vis and evaluation while training start from.

An image passes through up to three sizes. In the data set it has its source size. `ResizeConfig` may bring it to
another size, at which the network sees it. A batch holds images of one size only, so images are padded at the bottom
and right; padding is replaced by the backbone's padding pixel before the network sees it, and is never scored.
"""

import contextlib
import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.config.data import ResizeConfig
from deeplab.data import catalog, records, source
from deeplab.errors import UserError
from deeplab.evaluation import batches
from deeplab.files import progress_bar
from deeplab.inference import trained
from deeplab.inference.predictor import Predictor
from deeplab.layers.resize import resize_bilinear, resize_nearest


@dataclasses.dataclass(frozen=True)
class SplitPredictor:
    """Predicts the images of one split in padded batches.

    Attributes:
      predictor: the network with its padding, scales and flips.
      split: the records of the images.
      resize: the size at which the network sees the images.
      padded_size: (height, width) that images are padded to after resizing.
      padded_source_size: (height, width) that holds every image at its source size; labels are padded to it.
      strategy: shares every batch among its devices. With None the network runs where the caller has put it.
    """

    predictor: Predictor
    split: source.Split
    resize: ResizeConfig
    padded_size: tuple[int, int]
    padded_source_size: tuple[int, int]
    strategy: tf.distribute.Strategy | None = None

    @property
    def resizes(self):
        """Tells whether the network sees images at another size than their source size."""
        return self.resize.min_resize_value is not None

    def batches(self, batch_size):
        """Returns the split once, in file order, as `batches.padded_batches`.

        Batches also hold `height` and `width`, (B,) int32, the source size of each image. If images are resized, they
        hold `source_label` as well, (B, R, S) int32, the label at source size, padded to `padded_source_size`.
        """
        ignore_label = self.split.dataset.ignore_label
        pad = functools.partial(_pad_source_label, size=self.padded_source_size, ignore_label=ignore_label)
        examples = batches.examples(self.split, self.resize).map(pad, tf.data.AUTOTUNE)
        return batches.padded_batches(examples, self.padded_size, batch_size, ignore_label)

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

        def resize_one(example):
            prediction, size, source_size = example
            # The fillers of a short last batch have no pixels, and nothing can be resized to or from 0 pixels.
            size, source_size = tf.maximum(size, 1), tf.maximum(source_size, 1)
            cropped = prediction[tf.newaxis, : size[0], : size[1], tf.newaxis]
            resized = resize_nearest(cropped, source_size)[0, :, :, 0]
            height, width = self.padded_source_size
            return tf.pad(resized, [[0, height - source_size[0]], [0, width - source_size[1]]])

        resized = tf.map_fn(
            resize_one,
            (predictions, batch["sizes"], source_sizes),
            fn_output_signature=tf.TensorSpec(self.padded_source_size, tf.int32),
        )
        return batch["source_label"], resized, source_sizes


def restore_split_predictor(config, split_name, crop_size, strategy=None):
    """Restores the network and opens the split that `config` names.

    Args:
      config: an `EvalConfig` or a `VisConfig`.
      split_name: name of the split, e.g. "val".
      crop_size: (height, width) that images are padded to; None for the smallest that suits the network and holds
        every image.
      strategy: a tf.distribute strategy whose devices share the batches, or None.

    Returns:
      The `trained.Trained` that was restored, and its `SplitPredictor`.

    Raises:
      UserError: folder, checkpoint or split is missing, or the network has another number of classes than the data set.
    """
    split = source.open_split(config.dataset_dir, split_name, config.dataset_name, config.read)
    catalog.refuse_other(config.dataset, split.dataset)
    overrides = {**config.model, **({"crop_size": crop_size} if crop_size else {})}
    with strategy.scope() if strategy else contextlib.nullcontext():
        loaded = trained.load_configured(config, config.checkpoint_dir, overrides, split.dataset)
        passes = config.passes
        predictor = Predictor(loaded.model, crop_size, passes.eval_scales, passes.add_flipped_images)
    if loaded.config.num_classes != split.dataset.num_classes:
        raise UserError(
            f"{config.checkpoint_dir} predicts {loaded.config.num_classes} classes, {split.dataset.name} in "
            f"{config.dataset_dir} has {split.dataset.num_classes}; name the data set that it was trained on"
        )
    return loaded, make_split_predictor(predictor, split, config.resize, crop_size, strategy)


def make_split_predictor(predictor, split, resize, crop_size=None, strategy=None):
    """Returns the `SplitPredictor` of a network on a split, and chooses the sizes that images are padded to.

    Args:
      predictor: the `Predictor` of the network.
      split: the `source.Split`.
      resize: the `ResizeConfig` that says at which size the network sees the images.
      crop_size: (height, width) that images are padded to; None for the smallest that suits the network and holds
        every image.
      strategy: a tf.distribute strategy whose devices share the batches, or None.

    Raises:
      UserError: an image of the split is larger than `crop_size`.
    """
    height, width = batches.largest_size(split, resize)
    if crop_size is None:
        crop_size = predictor.padded_side(height, 0), predictor.padded_side(width, 1)
    if height > crop_size[0] or width > crop_size[1]:
        raise UserError(
            f"crop size {crop_size[0]},{crop_size[1]}: images of {split.name} have up to {height}x{width} pixels; "
            "give a larger one, or leave it out"
        )
    resizes = resize.min_resize_value is not None
    source_size = batches.largest_size(split, ResizeConfig()) if resizes else (height, width)
    return SplitPredictor(predictor, split, resize, tuple(crop_size), source_size, strategy)


class PredictedImage(NamedTuple):
    """One image of a split and what the network predicts for it, NumPy arrays at source size."""

    filename: str  # as in the records
    image: np.ndarray  # (H, W, 3) uint8
    label: np.ndarray  # (H, W) int32
    prediction: np.ndarray  # (H, W) int32


def predicted_images(split_predictor, batch_size, total):
    """Yields the first `total` images of a split, in file order, each as a `PredictedImage`; shows progress."""

    @tf.function
    def predict(batch):
        return split_predictor.to_source_size(batch, split_predictor.predict(batch))

    left = total
    with progress_bar.show(total, "image") as bar, records.user_errors():
        for batch in split_predictor.batches(batch_size):
            filenames = batch.pop("filename").numpy()  # text does not go to a GPU
            labels, predictions, source_sizes = (tensor.numpy() for tensor in predict(batch))
            for i, (height, width) in enumerate(source_sizes[: min(left, batch_size)]):
                rows, columns = batch["sizes"][i].numpy()
                image = _image_of_size(batch["image"][i, :rows, :columns], (height, width))
                label, prediction = labels[i, :height, :width], predictions[i, :height, :width]
                yield PredictedImage(filenames[i].decode(), image, label, prediction)
                bar.update()
            left -= batch_size
            if left <= 0:
                return


def _pad_source_label(example, size, ignore_label):
    """Pads the label at source size, if the example holds one, and makes the source size int32."""
    example = {**example, "height": tf.cast(example["height"], tf.int32), "width": tf.cast(example["width"], tf.int32)}
    if "source_label" in example:
        margins = [[0, size[0] - example["height"]], [0, size[1] - example["width"]]]
        label = tf.pad(example["source_label"], margins, constant_values=ignore_label)
        example["source_label"] = tf.ensure_shape(label, size)
    return example


def _image_of_size(image, size):
    """Returns an image (h, w, 3), as the network saw it, as (H, W, 3) uint8 of `size`."""
    if tuple(image.shape[:2]) != tuple(size):
        image = resize_bilinear(image[tf.newaxis], size)[0]
    return image.numpy().round().clip(0, 255).astype(np.uint8)
