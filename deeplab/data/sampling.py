"""Samples a training crop fast: scale and crop are drawn first, then only the pixels that the crop needs are decoded.

The result is that of the steps in `augment.py` (decode, resize, scale, pad, crop, flip), rounded to uint8. Labels are
identical; images differ by the rounding of the interpolation.
"""

from typing import NamedTuple

import tensorflow as tf

from deeplab.data.augment import random_offsets, random_scale, range_size, scaled_size

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_MARGIN = 4  # pixels decoded around the box, since at the edge of a JPEG crop chroma is interpolated from one side only
_EDGE = 3e-7  # keeps the outermost samples inside the box; float32 rounding would put them just outside


class Draw(NamedTuple):
    """The random choices for one example, scalar tensors."""

    scale: tf.Tensor  # float32
    top: tf.Tensor  # int32: first row of the crop in the scaled and padded image
    left: tf.Tensor  # int32: first column
    flip: tf.Tensor  # bool


class Axis(NamedTuple):
    """Where the pixels of a crop lie along one axis, int32 scalar tensors."""

    source: tf.Tensor  # number of pixels in the file
    resized: tf.Tensor  # number of pixels after resize_to_range
    scaled: tf.Tensor  # number of pixels after the random scale
    start: tf.Tensor  # first pixel of the crop, counted in scaled pixels
    count: tf.Tensor  # number of pixels of the crop that show the image; the others are padding


def image_size(encoded):
    """Returns (height, width), int32 scalars, from the header of JPEG or PNG bytes."""

    def png_size():
        header = tf.strings.substr(
            tf.strings.join([tf.strings.substr(encoded, 0, 24), b"\0" * 24]), 16, 8
        )  # IHDR: width, height
        return tf.io.decode_raw(header, tf.int32, little_endian=False)[::-1]

    size = tf.cond(is_jpeg(encoded), lambda: tf.io.extract_jpeg_shape(encoded)[:2], png_size)
    return size[0], size[1]


def is_jpeg(encoded):
    """Returns a bool scalar tensor: True if the bytes are a JPEG; all others are taken for a PNG."""
    return tf.equal(tf.strings.substr(encoded, 0, len(_JPEG_MAGIC)), _JPEG_MAGIC)


def is_png(encoded):
    """Returns a bool scalar tensor: True if the bytes begin as a PNG."""
    return tf.equal(tf.strings.substr(encoded, 0, len(_PNG_MAGIC)), _PNG_MAGIC)


def draw(size, crop_size, augment, seed):
    """Returns (Draw, Axis of the rows, Axis of the columns) for an image of `size`; a pure function of `seed`."""
    seeds = tf.random.split(seed, 3)
    resized = range_size(*size, augment)
    scale = random_scale(augment, seeds[0])
    scaled = scaled_size(*resized, scale)
    top, left = random_offsets(*scaled, crop_size, seeds[1])
    flip = tf.random.stateless_uniform((), seeds[2]) < augment.flip_probability
    starts = (top, left)
    rows, columns = (
        Axis(size[i], resized[i], scaled[i], starts[i], tf.minimum(crop_size[i], scaled[i] - starts[i])) for i in (0, 1)
    )
    return Draw(scale, top, left, flip), rows, columns


def _ratio(inside, outside):
    """Returns input pixels per output pixel of an align-corners resize, as TensorFlow's kernels compute it."""
    inside, outside = tf.cast(inside, tf.float32), tf.cast(outside, tf.float32)
    return tf.where(outside > 1, (inside - 1) / tf.maximum(outside - 1, 1), inside / tf.maximum(outside, 1))


def _nearest(positions, inside, outside):
    """Returns the nearest input pixel of each output position, rounding half up, exactly as the resize kernel does."""
    exact = tf.cast(positions, tf.float32) * _ratio(inside, outside)
    floor = tf.floor(exact)
    rounded = tf.cast(floor, tf.int32) + tf.cast(exact - floor >= 0.5, tf.int32)
    return tf.minimum(rounded, inside - 1)


def nearest_pixels(axis):
    """Returns (count,) int32: for each pixel of the crop, the source pixel that its label is taken from."""
    positions = _nearest(axis.start + tf.range(axis.count), axis.resized, axis.scaled)
    return _nearest(positions, axis.source, axis.resized)


def sample_label(label, rows, columns, flip):
    """Returns the labels (rows.count, columns.count) of a crop from all labels (H, W), mirrored if `flip`."""
    down, across = nearest_pixels(rows), nearest_pixels(columns)
    top, left = down[0], across[0]
    box = label[top : down[-1] + 1, left : across[-1] + 1]
    across = tf.cond(flip, lambda: tf.reverse(across, [0]), lambda: across)
    # Gathering rows of the transpose beats gathering along axis 1.
    return tf.gather(tf.transpose(tf.gather(tf.transpose(box), across - left)), down - top)


def _span(start, count, inside, outside):
    """Returns (first, size, begin, end): the pixels that an interpolation needs, and its first and last position."""
    ratio = _ratio(inside, outside)
    begin = tf.cast(start, tf.float32) * ratio
    end = tf.cast(start + count - 1, tf.float32) * ratio
    first = tf.cast(begin, tf.int32)
    last = tf.minimum(tf.cast(end, tf.int32) + 1, inside - 1)
    return first, last - first + 1, begin, end


def _interpolate(box, row_span, column_span, size, flip=False):
    """Samples a grid of `size` (height, width) bilinearly between the first and last positions of the spans.

    Mirroring costs nothing here, since the columns are sampled from right to left.

    Args:
      box: (pixels (h, w, 3), row, column): a part of an image, and where in the image its first pixel lies.
      row_span, column_span: from `_span`.
      size: (height, width) of the result.
      flip: whether the result is mirrored.

    Returns:
      (height, width, 3) float32.
    """
    pixels, *origin = box
    sides = tf.shape(pixels)

    def relative(span, axis):
        steps_between = tf.cast(tf.maximum(sides[axis] - 1, 1), tf.float32)
        offset = tf.cast(origin[axis], tf.float32)
        return [tf.clip_by_value((side - offset) / steps_between, _EDGE, 1 - _EDGE) for side in span[2:]]

    down, across = tf.stack(relative(row_span, 0)), tf.stack(relative(column_span, 1))
    across = tf.where(flip, across[::-1], across)
    enlarges = sides[0] * sides[1] < size[0] * size[1]
    return tf.cond(
        enlarges,
        lambda: _interpolate_by_axis(pixels, down, across, size),
        lambda: _crop_and_resize(pixels, down, across, size),
    )


def _crop_and_resize(pixels, down, across, size):
    """Samples (h, w, C) between `down` (first, last) and `across`, fractions of the sides; float32 of `size`."""
    box = tf.stack([down[0], across[0], down[1], across[1]])
    return tf.image.crop_and_resize(pixels[tf.newaxis], box[tf.newaxis], [0], size)[0]


def _interpolate_by_axis(pixels, down, across, size):
    """Does what `_crop_and_resize` does in half the time if the result is larger than the box: one axis at a time.

    The kernel spends its time on finding the neighbours of every pixel. If a whole row is passed as the channels of one
    pixel, the kernel finds them once per row and then runs over contiguous numbers. The two transposes of the small box
    cost less than that saves.
    """

    def along_first(x, ends, count):
        inside = tf.shape(x)
        rows = tf.reshape(x, (inside[0], 1, inside[1] * inside[2]))
        rows = _crop_and_resize(rows, ends, tf.zeros(2), tf.stack([count, 1]))
        return tf.reshape(rows, (count, inside[1], inside[2]))

    swapped = tf.transpose(tf.cast(pixels, tf.float32), (1, 0, 2))
    return along_first(tf.transpose(along_first(swapped, across, size[1]), (1, 0, 2)), down, size[0])


def sample_image(read_box, rows, columns, flip, resizes):
    """Returns (rows.count, columns.count, 3) float32: the interpolated pixels of a crop.

    Args:
      read_box: function that maps (top, left, height, width) to uint8 pixels of the source that contain this box, and
        row and column of the first of them.
      rows, columns: `Axis`.
      flip: whether the crop is mirrored, a bool scalar tensor.
      resizes: whether resize_to_range changes the image first, which adds an interpolation.
    """
    axes = (rows, columns)
    spans = [_span(axis.start, axis.count, axis.resized, axis.scaled) for axis in axes]
    needed = spans
    if resizes:
        needed = [_span(*span[:2], axis.source, axis.resized) for span, axis in zip(spans, axes, strict=True)]
    (top, height, *_), (left, width, *_) = needed
    box = read_box(top, left, height, width)
    if resizes:
        resized = _interpolate(box, *needed, tf.stack([spans[0][1], spans[1][1]]))
        box = resized, spans[0][0], spans[1][0]
    unscaled = tf.reduce_all([tf.equal(axis.resized, axis.scaled) for axis in axes])
    return tf.cond(
        unscaled,
        lambda: _copy(box, rows, columns, flip),
        lambda: _interpolate(box, *spans, tf.stack([rows.count, columns.count]), flip),
    )


def _copy(box, rows, columns, flip):
    """Returns the float32 pixels of a crop at scale 1, where nothing has to be interpolated."""
    pixels, top, left = box
    across = columns.start - left + tf.range(columns.count)
    down = rows.start - top
    part = pixels[down : down + rows.count]
    begin, end = across[0], across[0] + columns.count
    part = tf.cond(flip, lambda: tf.gather(part, across[::-1], axis=1), lambda: part[:, begin:end])
    return tf.cast(part, tf.float32)


def jpeg_or_png_box(encoded, size):
    """Returns `read_box`, see `sample_image`, for an encoded image of `size`; of a JPEG only the box is decoded."""

    def read_box(top, left, height, width):
        first = (tf.maximum(top - _MARGIN, 0), tf.maximum(left - _MARGIN, 0))
        end = (tf.minimum(top + height + _MARGIN, size[0]), tf.minimum(left + width + _MARGIN, size[1]))

        def jpeg():
            window = tf.stack([*first, end[0] - first[0], end[1] - first[1]])
            return tf.io.decode_and_crop_jpeg(encoded, window, channels=3), *first

        return tf.cond(is_jpeg(encoded), jpeg, lambda: (tf.io.decode_png(encoded, channels=3), 0, 0))

    return read_box


def to_uint8(image):
    """Returns a float image in [0, 255] rounded to uint8."""
    return tf.cast(image + 0.5, tf.uint8)


def pad_crop(image, label, crop_size, flip, pad_rgb, ignore_label):
    """Pads image and label of a crop to `crop_size` at the bottom and right, or left if the crop is mirrored."""
    shape = tf.shape(label)
    below, beside = crop_size[0] - shape[0], crop_size[1] - shape[1]

    def extend(x, value):
        right = tf.broadcast_to(value, tf.concat([[shape[0], beside], tf.shape(value)], 0))
        bottom = tf.broadcast_to(value, tf.concat([[below, crop_size[1]], tf.shape(value)], 0))
        wide = tf.cond(flip, lambda: tf.concat([right, x], 1), lambda: tf.concat([x, right], 1))
        return tf.concat([wide, bottom], 0)

    pixel = tf.constant(pad_rgb, tf.float32)
    pixel = to_uint8(pixel) if image.dtype == tf.uint8 else pixel
    padded = (below > 0) | (beside > 0)
    return tf.cond(
        padded,
        lambda: (extend(image, pixel), extend(label, tf.constant(ignore_label, tf.uint8))),
        lambda: (image, label),
    )
