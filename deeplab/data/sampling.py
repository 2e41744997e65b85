"""The fast path of training: scale and crop are drawn first, then only the box that the crop needs is decoded.

The pixels are those of `augment.py` taken step by step (decode, resize, scale, pad, crop, flip), rounded to uint8:
labels identical, images within rounding of the interpolation.
"""

from typing import NamedTuple

import tensorflow as tf

from deeplab.data import augment as steps

_JPEG_MAGIC = b"\xff\xd8\xff"
_MARGIN = 4  # pixels decoded around the box: chroma at the edge of a JPEG crop is interpolated from one side only
_EDGE = 3e-7  # keeps samples inside the box, where float32 rounding would put the outermost just outside


class Draw(NamedTuple):
    """The random choices for one example; int32 and float32 scalars."""

    scale: tf.Tensor
    top: tf.Tensor  # of the crop in the scaled and padded image, pixels
    left: tf.Tensor
    flip: tf.Tensor  # bool


class Axis(NamedTuple):
    """Where the pixels of a crop lie along one axis: source -> resized to range -> scaled -> cropped."""

    source: tf.Tensor  # pixels of the source
    resized: tf.Tensor  # ... after resize_to_range
    scaled: tf.Tensor  # ... after the random scale
    start: tf.Tensor  # first pixel of the crop, in scaled pixels
    count: tf.Tensor  # pixels of the crop that are image, the others are padding


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
    """Tells, as a bool scalar tensor, whether the bytes are a JPEG (else they are taken for a PNG)."""
    return tf.equal(tf.strings.substr(encoded, 0, len(_JPEG_MAGIC)), _JPEG_MAGIC)


def draw(size, crop_size, augment, seed):
    """Returns (Draw, Axis of the rows, Axis of the columns) for an image of `size`; a pure function of `seed`."""
    seeds = tf.random.split(seed, 3)
    resized = steps.range_size(*size, augment)
    scale = steps.random_scale(augment, seeds[0])
    scaled = steps.scaled_size(*resized, scale)
    top, left = steps.random_offsets(*scaled, crop_size, seeds[1])
    flip = tf.random.stateless_uniform((), seeds[2]) < augment.flip_probability
    starts = (top, left)
    rows, columns = (
        Axis(size[i], resized[i], scaled[i], starts[i], tf.minimum(crop_size[i], scaled[i] - starts[i])) for i in (0, 1)
    )
    return Draw(scale, top, left, flip), rows, columns


def _ratio(inside, outside):
    """Returns source pixels per result pixel of an align-corners resize, as TensorFlow's kernels compute it."""
    inside, outside = tf.cast(inside, tf.float32), tf.cast(outside, tf.float32)
    return tf.where(outside > 1, (inside - 1) / tf.maximum(outside - 1, 1), inside / tf.maximum(outside, 1))


def _nearest(positions, inside, outside):
    """Returns the source pixel of each of `positions`: round half away from zero, exactly as the resize kernel."""
    exact = tf.cast(positions, tf.float32) * _ratio(inside, outside)
    floor = tf.floor(exact)
    rounded = tf.cast(floor, tf.int32) + tf.cast(exact - floor >= 0.5, tf.int32)
    return tf.minimum(rounded, inside - 1)


def nearest_pixels(axis):
    """Returns (count,) int32: the source pixel whose label each pixel of the crop has."""
    positions = _nearest(axis.start + tf.range(axis.count), axis.resized, axis.scaled)
    return _nearest(positions, axis.source, axis.resized)


def sample_label(label, rows, columns, flip):
    """Returns (rows.count, columns.count) of a crop from the whole label image (H, W), mirrored if `flip`."""
    down, across = nearest_pixels(rows), nearest_pixels(columns)
    top, left = down[0], across[0]
    box = label[top : down[-1] + 1, left : across[-1] + 1]
    across = tf.cond(flip, lambda: tf.reverse(across, [0]), lambda: across)
    # Gathering rows of the transpose beats gathering along axis 1.
    return tf.gather(tf.transpose(tf.gather(tf.transpose(box), across - left)), down - top)


def _span(start, count, inside, outside):
    """Returns (first, size, begin, end): the pixels an interpolation needs, and where it begins and ends."""
    ratio = _ratio(inside, outside)
    begin = tf.cast(start, tf.float32) * ratio
    end = tf.cast(start + count - 1, tf.float32) * ratio
    first = tf.cast(begin, tf.int32)
    last = tf.minimum(tf.cast(end, tf.int32) + 1, inside - 1)
    return first, last - first + 1, begin, end


def _interpolate(box, row_span, column_span, size, flip=False):
    """Samples `size` points bilinearly between the begins and ends of the spans; returns float32.

    `box` is (pixels (h, w, 3), row, column): a part of an image, and where in it the first pixel lies. Mirroring costs
    nothing here: the columns are sampled from right to left.
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
    """Samples (h, w, C) between `down` (first, last) and `across`, in shares of the sides; float32 of `size`."""
    box = tf.stack([down[0], across[0], down[1], across[1]])
    return tf.image.crop_and_resize(pixels[tf.newaxis], box[tf.newaxis], [0], size)[0]


def _interpolate_by_axis(pixels, down, across, size):
    """As `_crop_and_resize`, one axis after the other: half the time where the result is larger than the box.

    The kernel spends its time on finding neighbours, pixel by pixel. With a whole row as the channels of one pixel, it
    finds them once a row and then runs over contiguous numbers; two transposes of the small box cost less.
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
      read_box: function (top, left, height, width) -> (uint8 pixels with that box of the source in them, row and
        column of the first one).
      rows, columns: `Axis`.
      flip: whether the crop is mirrored, a bool scalar tensor.
      resizes: whether resize_to_range changes the image first, which interpolates once more.
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
    """Returns the pixels of a crop at scale 1, where each is a pixel of the box already; float32."""
    pixels, top, left = box
    across = columns.start - left + tf.range(columns.count)
    down = rows.start - top
    part = pixels[down : down + rows.count]
    begin, end = across[0], across[0] + columns.count
    part = tf.cond(flip, lambda: tf.gather(part, across[::-1], axis=1), lambda: part[:, begin:end])
    return tf.cast(part, tf.float32)


def jpeg_or_png_box(encoded, size):
    """Returns a `read_box` function for encoded bytes whose image has `size`; of a JPEG only the box is decoded."""

    def read_box(top, left, height, width):
        first = (tf.maximum(top - _MARGIN, 0), tf.maximum(left - _MARGIN, 0))
        end = (tf.minimum(top + height + _MARGIN, size[0]), tf.minimum(left + width + _MARGIN, size[1]))

        def jpeg():
            window = tf.stack([*first, end[0] - first[0], end[1] - first[1]])
            return tf.io.decode_and_crop_jpeg(encoded, window, channels=3), *first

        return tf.cond(is_jpeg(encoded), jpeg, lambda: (tf.io.decode_png(encoded, channels=3), 0, 0))

    return read_box


def to_uint8(image):
    """Returns a float image, 0..255, rounded to uint8."""
    return tf.cast(image + 0.5, tf.uint8)


def pad_crop(image, label, crop_size, flip, pad_rgb, ignore_label):
    """Pads uint8 image and label of a crop to `crop_size`: at the bottom, and right, or left where it is mirrored."""
    shape = tf.shape(label)
    below, beside = crop_size[0] - shape[0], crop_size[1] - shape[1]

    def extend(x, value):
        right = tf.broadcast_to(value, tf.concat([[shape[0], beside], tf.shape(value)], 0))
        bottom = tf.broadcast_to(value, tf.concat([[below, crop_size[1]], tf.shape(value)], 0))
        wide = tf.cond(flip, lambda: tf.concat([right, x], 1), lambda: tf.concat([x, right], 1))
        return tf.concat([wide, bottom], 0)

    pixel = to_uint8(tf.constant(pad_rgb, tf.float32))
    padded = (below > 0) | (beside > 0)
    return tf.cond(
        padded,
        lambda: (extend(image, pixel), extend(label, tf.constant(ignore_label, tf.uint8))),
        lambda: (image, label),
    )
