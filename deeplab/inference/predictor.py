"""From images to labels: padding, scales, flips, and the way back to the size of the image, as the reference does it.

This is the ONE path that eval, vis, predict and export share.
"""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError
from deeplab.layers import hardware
from deeplab.layers.resize import resize_bilinear, resize_bilinear_in_strips, resize_labels, scale_dimension
from deeplab.model.backbones import BACKBONES
from deeplab.model.network import config_of
from deeplab.model.views import at_scale, with_small_logits

_STRIPS = 4  # that the logits are upsampled in on CPUs; two cores gain nothing from more


def predict_labels(
    model: tf.keras.Model, images, eval_scales: Sequence[float] = (1.0,), add_flipped_images: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Segments images of one size.

    On GPUs of the Ampere generation and later, TensorFlow computes float32 convolutions in TF32 unless the caller has
    called `tf.config.experimental.enable_tensor_float_32_execution(False)`, as the programs do. With TF32, 0.1 to 0.5 %
    of the labels differ.

    Args:
      model: as `build_model` returns it.
      images: (B, H, W, num_channels) in [0, 255], uint8 or float; RGB for 3 channels.
      eval_scales: sizes, relative to the image, at which the network looks at it.
      add_flipped_images: also look at the images reversed left to right.

    Returns:
      labels (B, H, W) int32; probabilities (B, H, W, K) float32, the mean of the softmax over the passes.
    """
    images = checked_images(images, config_of(model).num_channels)
    _refuse_larger(config_of(model).crop_size, images.shape[1:3])
    predict = _compiled(model, tuple(float(scale) for scale in eval_scales), bool(add_flipped_images))
    return predict(tf.cast(images, tf.float32))


def checked_images(images, num_channels=3):
    """Returns images as a tensor (B, H, W, num_channels) of numbers; a UserError says what it got in place of that."""
    kind = "RGB images" if num_channels == 3 else f"images of {num_channels} channels"
    expected = f"expected {kind} in [0, 255] as an array (batch, height, width, {num_channels})"
    given = type(images).__name__
    try:
        images = tf.convert_to_tensor(images)
    except (TypeError, ValueError):  # such as images of several sizes
        raise UserError(f"images: got {given}; {expected}, all of one size") from None
    if not (images.dtype.is_floating or images.dtype.is_integer):  # such as a path
        raise UserError(f"images: got {given} of type {images.dtype.name}; {expected}, uint8 or float")
    if images.shape.rank != 4 or images.shape[-1] != num_channels or 0 in images.shape:
        is_one = images.shape.rank == 3 and images.shape[-1] == num_channels
        alone = "; for one image, pass image[None]" if is_one else ""
        raise UserError(f"images has shape {tuple(images.shape)}: {expected}{alone}")
    return images


@functools.lru_cache(maxsize=4)
def _compiled(model, eval_scales, add_flipped_images):
    """Returns a tf.function with one trace for images of every size."""
    signature = [tf.TensorSpec((None, None, None, config_of(model).num_channels), tf.float32)]
    return tf.function(Predictor(model, None, eval_scales, add_flipped_images), input_signature=signature)


class Predictor:
    """Segments images with one model. Made of TensorFlow ops only: usable inside tf.function and in an export.

    An image is padded at the bottom and right with the backbone's padding pixel, up to `crop_size`. Where there is no
    crop size, or the image is larger, it is padded to the smallest output_stride * k + 1 that holds the image: then the
    cells of the network lie where they lay in training. A model built with a crop_size takes exactly that size. A model
    that pools over windows gets no image smaller than a window; the reference, too, pads to its crop, which is larger.

    Args:
      model: as `build_model` returns it.
      crop_size: (height, width) that images are padded to at least, or None.
      eval_scales, add_flipped_images: the passes, see `predict_labels`.
    """

    def __init__(self, model, crop_size=None, eval_scales=(1.0,), add_flipped_images=False):
        self.config, model = config_of(model), with_small_logits(model)
        self.model = model
        self.num_classes = self.config.num_classes
        self.fixed_size = self.config.crop_size
        window = self.config.image_pooling_crop_size or (1, 1)
        self.crop_size = self.fixed_size or tuple(map(max, crop_size or (1, 1), window))
        self.pad_rgb = np.asarray(self._pad_pixel(), np.float32)
        self._pads_grey = len(set(self.pad_rgb)) == 1
        self.add_flipped_images = bool(add_flipped_images)
        self.eval_scales = tuple(eval_scales)
        unscaled = self.eval_scales == (1.0,)
        self.models = [model] if unscaled else [at_scale(model, scale) for scale in self.eval_scales]
        self._is_single = unscaled and not add_flipped_images  # one pass over the image as it is: nothing to average

    def _pad_pixel(self):
        return BACKBONES[self.config.model_variant].pad_pixel(self.config.num_channels)

    def __call__(self, images):
        """Returns (labels (B, H, W) int32, probabilities (B, H, W, K) float32) of images (B, H, W, 3)."""
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        static = [self.padded_side(side, axis) for axis, side in enumerate(images.shape[1:3]) if side is not None]
        if static == list(images.shape[1:3]):
            return self._exactly(tf.cast(images, tf.float32), static[1])
        padded = static if len(static) == 2 else [self.padded_side(height, 0), self.padded_side(width, 1)]
        if len(static) == 2:
            height, width = images.shape[1:3]
        whole = self._padded(images, padded[0] - height, padded[1] - width)
        if self._pads_grey:
            labels, probabilities = self._exactly(whole, width)
        else:
            sizes = tf.tile([[height, width]], [tf.shape(images)[0], 1])
            labels, probabilities = self.on_padded(whole, sizes)
        return labels[:, :height, :width], probabilities[:, :height, :width]

    def padded_side(self, side, axis):
        """Returns what a side of `side` pixels (int or int32 scalar) is padded to; axis 0 is the height."""
        if self.fixed_size is not None:
            return self.fixed_size[axis]
        stride = self.config.output_stride
        return (_larger(side, self.crop_size[axis]) + stride - 2) // stride * stride + 1

    def on_padded(self, images, sizes):
        """Segments images that already have the padded size.

        Args:
          images: (B, P, Q, 3), uint8 or float; what lies beyond an image's size is replaced by the padding pixel.
          sizes: (B, 2) int32, the height and width of each image.

        Returns:
          labels (B, P, Q) int32, probabilities (B, P, Q, K) float32.
        """
        if not self._pads_grey or hardware.is_accelerated():
            whole = self._framed(images, sizes)
        else:  # on a CPU images mostly come one at a time, and cutting and padding one takes a quarter of the time
            alone = tf.equal(tf.shape(images)[0], 1)
            whole = tf.cond(alone, lambda: self._padded_again(images, sizes[0]), lambda: self._framed(images, sizes))
            whole = tf.ensure_shape(whole, images.shape)
        return self._exactly(whole, sizes[:, 1, None])

    def _framed(self, images, sizes):
        """Replaces what lies beyond the sizes (B, 2) of images by the padding pixel; returns float32."""
        rows = tf.range(tf.shape(images)[1])[None, :, None, None] < sizes[:, 0, None, None, None]
        columns = tf.range(tf.shape(images)[2])[None, None, :, None] < sizes[:, 1, None, None, None]
        return tf.where(rows & columns, tf.cast(images, tf.float32), self.pad_rgb)

    def _padded_again(self, images, size):
        """As `_framed`, for images that have one size (2,) and a grey padding pixel."""
        beyond = tf.shape(images)[1:3] - size
        return self._padded(images[:, : size[0], : size[1]], beyond[0], beyond[1])

    def _padded(self, images, below, beside):
        """Returns images as float32, with so many rows and columns more, in the grey value of the padding pixel."""
        whole = tf.cast(images, tf.float32)  # TFLite pads no uint8
        return tf.pad(whole, [[0, 0], [0, below], [0, beside], [0, 0]], constant_values=self.pad_rgb[0])

    def _exactly(self, images, width):
        """Segments images (B, P, Q, 3) float32 that have the padded size already.

        `width` is that of all images before padding, an int or an int32 scalar, or (B, 1), that of each of them. An
        image is flipped before it is padded, so that the labels of its mirror image are its own labels, mirrored. As in
        the reference, what a crop size adds belongs to the image.
        """
        if self._is_single:
            return self._single(images)
        total, count = self._sum_of_scales(images), len(self.models)
        if self.add_flipped_images:
            width = _larger(width, self.crop_size[1])
            total += _flip(self._sum_of_scales(_flip(images, width)), width)
            count *= 2
        probabilities = total / count
        return tf.argmax(probabilities, axis=-1, output_type=tf.int32), probabilities

    def _sum_of_scales(self, images):
        passes = zip(self.models, self.eval_scales, strict=True)
        return tf.add_n([self._softmax(images, *one) for one in passes])

    def _single(self, images):
        logits = tf.cast(self.models[0](images, training=False), tf.float32)
        size = _size(images)
        if self.config.prediction_with_upsampled_logits:
            return _labels_and_probabilities(self._upsampled(logits, size))
        labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return resize_labels(labels, size), resize_bilinear(tf.nn.softmax(logits), size)

    def _upsampled(self, logits, size):
        """Returns a list of logits (B, rows, Q, K), strips that together have the padded size of the images.

        There is one strip if the network was built for one size, which need not be a number of cells. There is also one
        if the graph knows the size, since it is for other engines or for XLA then, and on GPUs, which use all cores.
        """
        known = self.fixed_size is not None or not any(isinstance(side, tf.Tensor) for side in size)
        if known or hardware.is_accelerated():
            return [resize_bilinear(logits, size)]
        return resize_bilinear_in_strips(logits, size, _STRIPS)

    def _softmax(self, images, model, scale):
        """One pass: probabilities (B, P, Q, K) of images (B, P, Q, 3)."""
        size = _size(images)
        seen = images if scale == 1 else resize_bilinear(images, [scale_dimension(side, scale) for side in size])
        logits = tf.cast(model(seen, training=False), tf.float32)
        stride = self.config.logits_stride
        if scale < 1:  # the reference resizes twice: first to the size that scale 1 gives
            logits = resize_bilinear(logits, [scale_dimension(side, 1 / stride) for side in size])
        return tf.nn.softmax(resize_bilinear(logits, size))


def _labels_and_probabilities(strips):
    """Returns labels (B, P, Q) int32 and probabilities (B, P, Q, K) of a list of logits (B, rows, Q, K)."""
    labels = [tf.argmax(logits, axis=-1, output_type=tf.int32) for logits in strips]
    probabilities = [tf.nn.softmax(logits) for logits in strips]
    return [parts[0] if len(parts) == 1 else tf.concat(parts, axis=1) for parts in (labels, probabilities)]


def _size(images):
    """Returns (height, width) of images: ints where they are known, else int32 scalars."""
    dynamic = tf.shape(images)
    return [dynamic[axis] if images.shape[axis] is None else images.shape[axis] for axis in (1, 2)]


def _larger(side, least):
    return (tf.maximum if isinstance(side, tf.Tensor) else max)(side, least)


def _flip(x, width):
    """Reverses the first columns of x (B, P, Q, C), `width` of them: a scalar, or (B, 1), one number for each image.

    The columns are gathered, since tf.reverse_sequence takes 40 times as long on CPUs.
    """
    columns = tf.range(_size(x)[1])
    order = tf.where(columns < width, width - 1 - columns, columns)
    if order.shape.rank == 1:
        return tf.gather(x, order, axis=2)
    rows = tf.repeat(tf.cast(order, tf.int64)[:, tf.newaxis], _size(x)[0], axis=1)  # GPUs repeat int32 on the host
    return tf.gather(x, rows, axis=2, batch_dims=2)


def _refuse_larger(crop_size, size):
    """Raises a UserError if images of `size` do not fit the crop size that the model was built for."""
    if crop_size is not None and any(side > crop for side, crop in zip(size, crop_size, strict=True)):
        raise UserError(
            f"the image has {size[0]}x{size[1]} pixels, the model was built with crop_size="
            f"{crop_size[0]},{crop_size[1]}; build it with a crop_size that holds the image, or with None"
        )
