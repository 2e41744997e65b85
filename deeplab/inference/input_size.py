"""The size at which a network sees photographs: the rule of --input_size, for checkpoints and inside of exports.

A network knows the objects at the scale at which it was trained. A photograph of the same scene with many more pixels
shows them at a scale that the network has never seen, and its labels are then nonsense.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from deeplab.config.input_size import AUTO, ORIGINAL, TRAINED, box
from deeplab.errors import UserError
from deeplab.files import progress_bar
from deeplab.layers.resize import resize_antialiased, resize_bilinear, resize_labels, take_nearest

_LARGER = 1.5  # auto shrinks images that are more than so many times as large; networks bear less, as training scales
CARD_KEY = "input_size"  # of model.json


class InputSize(NamedTuple):
    """Which images are resized before the network sees them, and to which size.

    Attributes:
      rule: the value of --input_size.
      trained_size: (height, width) that holds the training images, or None if it is not recorded.
      fit_into: an image that is resized gets the largest size with its aspect ratio that fits into this (height,
        width). None: no image is resized.
      longer_than: only images whose longer side has more pixels than this are resized.
    """

    rule: str = ORIGINAL
    trained_size: tuple[int, int] | None = None
    fit_into: tuple[int, int] | None = None
    longer_than: int = 0

    def resizes(self, height, width):
        """Tells whether an image is resized; sides are ints, or int64 scalars, which give a bool scalar."""
        if self.fit_into is None:
            return False
        new_height, new_width = self.fitted(height, width)
        if isinstance(height, tf.Tensor):
            differs = tf.not_equal(new_height, height) | tf.not_equal(new_width, width)
            return differs & (tf.maximum(height, width) > self.longer_than)
        return max(height, width) > self.longer_than and (new_height, new_width) != (height, width)

    def fitted(self, height, width):
        """Returns the (height, width) of an image after it is resized; sides are ints or int64 scalars."""
        smaller, larger = (tf.minimum, tf.maximum) if isinstance(height, tf.Tensor) else (min, max)
        high, wide = self.fit_into
        fitted_height = smaller((2 * height * wide + width) // (2 * width), high)  # rounded to the nearest pixel
        fitted_width = smaller((2 * width * high + height) // (2 * height), wide)
        return larger(fitted_height, 1), larger(fitted_width, 1)

    def __str__(self):
        """Says the rule in one line; empty if the user asked for the images' own size."""
        trained = f"training saw up to {_sides(self.trained_size)}" if self.trained_size else ""
        if self.is_unknown:
            return (
                "The size of the training images is not recorded, so images of all sizes are seen as they are; "
                "--input_size=HEIGHT,WIDTH says another size"
            )
        if self.rule == AUTO:
            return (
                f"Images with more than {self.longer_than} pixels on a side are shrunk to {max(self.fit_into)}, since "
                f"{trained} (height x width; --input_size=original leaves them as they are)"
            )
        if self.rule == TRAINED:
            return f"Images are resized to {max(self.fit_into)} pixels on their longer side, since {trained}"
        return f"Images are resized to fit into {_sides(self.fit_into)} (height x width)" if self.fit_into else ""

    @property
    def is_unknown(self):
        """Tells whether `auto` leaves every image as it is, because nobody knows which images are too large."""
        return self.rule == AUTO and self.fit_into is None

    def card(self) -> dict[str, Any]:
        """Returns what model.json says about the rule."""
        return self._asdict()


def resolve(value, trained_size):
    """Returns the `InputSize` that a value of --input_size means for a network.

    Args:
      value: the value.
      trained_size: (height, width) that holds the images that the network was trained on, or None if it is not known.

    Raises:
      UserError: the value is `trained`, and the size is not known.
    """
    if value == TRAINED and trained_size is None:
        raise UserError(
            f"--input_size={TRAINED}: the checkpoint does not tell how large its training images were; give "
            "--input_size=HEIGHT,WIDTH"
        )
    if value == ORIGINAL or (value == AUTO and trained_size is None):
        return InputSize(value, trained_size)
    if value in (AUTO, TRAINED):
        longest = max(trained_size)
        return InputSize(value, trained_size, (longest, longest), int(_LARGER * longest) if value == AUTO else 0)
    return InputSize(value, trained_size, box(value))


def of_card(card):
    """Returns the `InputSize` in the content of a model.json. Exports without one see all images as they are."""
    recorded = card.get(CARD_KEY) or {}
    facts = {name: recorded[name] for name in InputSize._fields if name in recorded}
    pairs = {name: tuple(facts[name]) for name in ("trained_size", "fit_into") if facts.get(name)}
    return InputSize(**{**facts, **pairs})


def segment(predictor, images, input_size):
    """Segments images of one size, which the network sees at the size that the rule says; made of TensorFlow ops only.

    Args:
      predictor: an `inference.Predictor`.
      images: (B, H, W, 3), uint8 or float.
      input_size: an `InputSize`.

    Returns:
      What the predictor returns: labels (B, H, W) int32, by nearest neighbour where images are resized, and
      probabilities (B, H, W, K) float32, bilinearly. They are exactly the predictor's where images are not resized.
    """
    if input_size.fit_into is None:
        return predictor(images)
    if None not in images.shape[1:3]:
        return _segment_known_size(predictor, images, input_size)
    size = tf.shape(images, out_type=tf.int64)[1:3]
    fitted = input_size.fitted(size[0], size[1])
    resizes = input_size.resizes(size[0], size[1])
    # Only resizing is conditional, so that the graph holds the network once. Labels and probabilities are chosen each
    # by itself, so that TensorFlow can leave out what nobody asks for.
    seen = tf.cond(resizes, lambda: resize_antialiased(images, fitted), lambda: tf.cast(images, tf.float32))
    labels, probabilities = predictor(tf.ensure_shape(seen, (images.shape[0], None, None, images.shape[-1])))
    size = tf.cast(size, tf.int32)
    return (
        tf.cond(resizes, lambda: resize_labels(labels, size), lambda: labels),
        tf.cond(resizes, lambda: resize_bilinear(probabilities, size), lambda: probabilities),
    )


def _segment_known_size(predictor, images, input_size):
    """As `segment`, for images whose size the graph knows, in operations that engines for one size have."""
    size = tuple(images.shape[1:3])
    if not input_size.resizes(*size):
        return predictor(images)
    labels, probabilities = predictor(resize_antialiased(images, input_size.fitted(*size)))
    return take_nearest(labels[..., None], size)[..., 0], resize_bilinear(probabilities, size)


def warn_of_larger(split, size, trained_size):
    """Prints one line if predict and exports would not see the images of a split as eval and vis do.

    Args:
      split: name of the split.
      size: (height, width) that holds its images.
      trained_size: as in `resolve`.
    """
    by_default = resolve(AUTO, trained_size)
    if by_default.resizes(*size):
        print(
            f"{split} has images up to {_sides(size)}, the training saw up to {_sides(trained_size)}: predict and "
            f"exports shrink those with more than {by_default.longer_than} pixels on a side (--input_size={AUTO}), "
            "eval and vis do not"
        )


class Notice:
    """Prints one line for the first image that a network does not see as large as it is, or would not but for tiles.

    Args:
      input_size: the `InputSize`.
      tiles: the `TilesConfig`; if it asks for tiles, images keep their size. None: no tiles.
    """

    def __init__(self, input_size, tiles=None):
        self._input_size, self._tiles, self._said = input_size, tiles is not None and tiles.tile_size, False

    def __call__(self, path, size):
        """Prints the line if the image in the file `path`, with this (height, width), is the first such image."""
        if self._said or not self._input_size.resizes(*size):
            return
        self._said = True
        trained = self._input_size.trained_size
        why = f"; the training saw up to {_sides(trained)}" if trained else ""
        how = "as it is, because of --tile_size" if self._tiles else f"at {_sides(self._input_size.fitted(*size))}"
        text = f"{path}: {_sides(size)} pixels (height x width), seen {how}{why}"
        progress_bar.note(text if self._tiles else f"{text} (--input_size={self._input_size.rule})")


def _sides(size):
    return f"{size[0]}x{size[1]}"
