"""Images larger than memory allows: tiles that overlap, their probabilities blended."""

import numpy as np
import tensorflow as tf

from deeplab.errors import UserError


class SlidingWindow:
    """Segments one image of any size in tiles; memory beyond the image's probabilities is that of one tile.

    Where tiles overlap, each counts the more the farther a pixel lies from the tile's edge. Tiles begin at multiples of
    the output stride, so that the cells of the network lie where they lie in the whole image. What is beyond a tile's
    edge the network does not see: a network with wide context (ASPP, image pooling) gives other labels here and there.

    Args:
      predictor: an `inference.Predictor`.
      tile_size: (height, width) of a tile; rounded up to what suits the network.
      overlap: pixels that neighbouring tiles share at least.
    """

    def __init__(self, predictor, tile_size, overlap):
        if not 0 <= overlap < min(tile_size):
            raise UserError(f"tile_overlap={overlap}: expected 0 to {min(tile_size) - 1}, less than a tile's side")
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


def starts(side, tile, overlap, stride=1):
    """Returns where tiles begin along a side of `side` pixels: multiples of `stride`, at least `overlap` shared.

    They are evenly spread. The last one may reach beyond the side, by less than a stride. Where tile - overlap is less
    than a stride, tiles begin at every stride, and share less.
    """
    if side <= tile:
        return [0]
    last = -(-(side - tile) // stride)
    count = -(-last // max(1, (tile - overlap) // stride)) + 1
    return [stride * (i * last // (count - 1)) for i in range(count)]
