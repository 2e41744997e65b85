"""Images larger than memory allows: overlapping tiles, through the backbone alone or through the whole network."""

import copy
import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError
from deeplab.model import views

# What an image that is too large for an export can do; exports know no tiles.
LESS_THAN_AN_EXPORT = "--checkpoint_dir with --tile_size=513,513, in place of --saved_model, needs less"


def window(predictor, tiles):
    """Returns the `TiledBackbone` or the `SlidingWindow` that a `TilesConfig` asks for.

    A network that cannot be split (see `views.split`) always gets a `SlidingWindow`.
    """
    kind = TiledBackbone if tiles.tile_shared_context and TiledBackbone.suits(predictor) else SlidingWindow
    return kind(predictor, tiles.tile_size, tiles.tile_overlap)


def less_memory(tiles, scales):
    """Returns which options need less memory for one image, a text for messages.

    Args:
      tiles: the `TilesConfig` with which the memory does not suffice.
      scales: the scales of the image at which the network runs.
    """
    if tiles.tile_size is None:
        ways = ["--tile_size=513,513"]
    else:
        ways = ["a smaller --tile_size"] + ["--notile_shared_context"] * tiles.tile_shared_context
    ways += ["no --eval_scales above 1"] * (max(scales) > 1)
    return f"{', or '.join(ways)} needs less"


class TiledBackbone:
    """Segments one image of any size: the backbone, which needs most of the memory, sees tiles, the head everything.

    ASPP, image pooling and decoder see the features of the whole image. The labels still differ a little from labels
    without tiles, because features near the edge of a tile are wrong; half of the overlap is thrown away for that.

    Args:
      predictor: an `inference.Predictor`.
      tile_size: (height, width) of a tile in pixels.
      overlap: pixels that neighbouring tiles share.
    """

    def __init__(self, predictor, tile_size, overlap):
        _check_overlap(tile_size, overlap)
        self._predictor = copy.copy(predictor)
        self._predictor.models = [_Tiled(one, tile_size, overlap) for one in predictor.models]

    @staticmethod
    def suits(predictor):
        """Tells whether all networks of a predictor can be split."""
        return all(views.split(one) is not None for one in predictor.models)

    def __call__(self, image):
        """Returns the labels (H, W) int32 of an image (H, W, 3)."""
        return self.with_probabilities(image)[0]

    def with_probabilities(self, image):
        """Returns labels (H, W) int32 and probabilities (H, W, K) float32 of an image (H, W, 3)."""
        return tuple(result[0].numpy() for result in self._predictor(tf.constant(image[None])))


class _Tiled:
    """Stands in for the model of a `Predictor`: images (B, H, W, 3) -> logits."""

    def __init__(self, network, tile_size, overlap):
        backbone, head, self._strides = views.split(network)
        coarsest = max(self._strides)
        self._halo = -(-(overlap // 2) // coarsest) * coarsest
        self._kept = [max(1, (side - 2 * self._halo) // coarsest) * coarsest for side in tile_size]
        any_size = tf.TensorSpec((None, None, None, network.parts.config.num_channels), tf.float32)
        self._backbone = tf.function(lambda images: backbone(images, training=False), input_signature=[any_size])
        self._head = tf.function(lambda inputs: head(inputs, training=False), reduce_retracing=True)

    def __call__(self, images, training=False):
        return self._head([images, *self._features(images)])

    def _features(self, images):
        """Returns the backbone's features of the whole images, a list of (B, h, w, C) tensors."""
        bands = []
        for rows in self._windows(images.shape[1], self._kept[0]):
            windows = [(rows, columns) for columns in self._windows(images.shape[2], self._kept[1])]
            tiles = [self._tile(images, *one) for one in windows]
            bands.append([tf.concat(parts, axis=2) for parts in zip(*tiles, strict=True)])
        return [tf.concat(parts, axis=1) for parts in zip(*bands, strict=True)]

    def _tile(self, images, rows, columns):
        """Returns the features of the part of a tile that is kept."""
        seen = self._backbone(images[:, rows.begin : rows.end, columns.begin : columns.end])
        parts = zip(seen, self._strides, strict=True)
        return [part[:, rows.cells(stride), columns.cells(stride)] for part, stride in parts]

    def _windows(self, side, kept):
        """Returns the `_Window`s along a side, whose kept parts cover it.

        They begin at cells of the coarsest features, and are as long as the side but for whole cells: so convolutions
        with a stride meet the same pixels, and pad alike, as in the whole image.
        """
        coarsest = max(self._strides)
        cells = -(-side // coarsest)
        count = -(-cells // (kept // coarsest))
        edges = [coarsest * (i * cells // count) for i in range(count)] + [side]
        reach = self._halo + side % coarsest
        return [
            _Window(max(0, first - self._halo), min(side, last + reach), first, last)
            for first, last in itertools.pairwise(edges)
        ]


class _Window(NamedTuple):
    """Pixels along one side."""

    begin: int  # that the backbone sees
    end: int
    first: int  # whose features are kept
    last: int

    def cells(self, stride):
        """Returns the place of the kept features among all features of the window."""
        return slice((self.first - self.begin) // stride, -(-(self.last - self.begin) // stride))


class SlidingWindow:
    """Segments one image of any size in tiles, each by itself.

    Besides the probabilities of the image, this needs the memory of one tile only. Where tiles overlap, a tile counts
    the more, the farther a pixel lies from its edge. Tiles begin at multiples of the output stride, so that the cells
    of the network lie where they lie in the whole image. The network does not see beyond the edge of a tile. So a
    network with wide context (ASPP, image pooling) gives other labels in places: on 5 % of CamVid's pixels with tiles
    of 321.

    Args:
      predictor: an `inference.Predictor`.
      tile_size: (height, width) of a tile; rounded up to what suits the network.
      overlap: pixels that neighbouring tiles share at least.
    """

    def __init__(self, predictor, tile_size, overlap):
        _check_overlap(tile_size, overlap)
        self.tile_size = tuple(predictor.padded_side(side, axis) for axis, side in enumerate(tile_size))
        self.overlap, self.num_classes = overlap, predictor.num_classes
        self._stride = predictor.config.output_stride
        self._probabilities = tf.function(lambda images, sizes: predictor.on_padded(images, sizes)[1])
        rows, columns = (1 + np.minimum(np.arange(side), np.arange(side)[::-1]) for side in self.tile_size)
        self._weights = (rows[:, None] * columns / (rows.max() * columns.max())).astype(np.float32)[..., None]

    def __call__(self, image):
        """Returns the labels (H, W) int32 of an image (H, W, 3)."""
        return self._blend(image).argmax(axis=-1).astype(np.int32)

    def with_probabilities(self, image):
        """Returns labels (H, W) int32 and probabilities (H, W, K) float32 of an image (H, W, 3)."""
        total = self._blend(image)
        total /= total.sum(axis=-1, keepdims=True)
        return total.argmax(axis=-1).astype(np.int32), total

    def _blend(self, image):
        """Returns the weighted sums (H, W, K) of the tiles' probabilities."""
        total = np.zeros((*image.shape[:2], self.num_classes), np.float32)
        for top in starts(image.shape[0], self.tile_size[0], self.overlap, self._stride):
            for left in starts(image.shape[1], self.tile_size[1], self.overlap, self._stride):
                place = slice(top, top + self.tile_size[0]), slice(left, left + self.tile_size[1])
                tile = image[place]
                total[place] += self._tile(tile) * self._weights[: tile.shape[0], : tile.shape[1]]
        return total

    def _tile(self, tile):
        height, width = tile.shape[:2]
        margins = ((0, self.tile_size[0] - height), (0, self.tile_size[1] - width), (0, 0))
        padded = tf.constant(np.pad(tile, margins)[None])
        return self._probabilities(padded, tf.constant([[height, width]]))[0, :height, :width].numpy()


def _check_overlap(tile_size, overlap):
    if not 0 <= overlap < min(tile_size):
        raise UserError(f"tile_overlap={overlap}: expected 0 to {min(tile_size) - 1}, less than a tile's side")


def starts(side, tile, overlap, stride=1):
    """Returns where tiles begin along a side of `side` pixels: multiples of `stride`, at least `overlap` shared.

    The tiles are evenly spread. The last one may reach beyond the side by less than a stride. Where tile - overlap is
    less than a stride, tiles begin at every stride and share fewer pixels.
    """
    if side <= tile:
        return [0]
    last = -(-(side - tile) // stride)
    count = -(-last // max(1, (tile - overlap) // stride)) + 1
    return [stride * (i * last // (count - 1)) for i in range(count)]
