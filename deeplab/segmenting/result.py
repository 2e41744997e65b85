"""What `deeplab.Segmenter` gives for one image."""

import functools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.data import catalog
from deeplab.errors import UserError, one_line
from deeplab.files import escaping
from deeplab.pictures import drawing, mask_ids
from deeplab.segmenting import polygons

_SHOWN = 3  # classes that `repr` names


class Result:
    """The labels of one image, and what can be made of them.

    Attributes:
      labels: (H, W) int32 class ids, of the size of the image.
      image: (H, W, 3) uint8, the image as the network was given it: upright, RGB. Of other bands or depths, what
        `pictures.bands.shown` makes of them.
      class_names: one name for each class id.

    Args:
      image, labels: see above.
      dataset: a `catalog.Dataset`, which has the names and colours of the classes.
      probabilities: function () -> (H, W, C) float32.
    """

    def __init__(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        dataset: catalog.Dataset,
        probabilities: Callable[[], np.ndarray],
    ):
        self.image, self.labels = image, labels
        self.class_names = names(dataset)
        self._dataset, self._compute = dataset, probabilities

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """(H, W, C) float32, the probability of each class. The network runs once more when this is asked first.

        Raises:
          UserError: the network is a file that gives labels alone.
        """
        return self._compute()

    @functools.cached_property
    def share(self) -> dict[str, float]:
        """{name of a class: its share of the pixels, 0 to 1}, for all classes in the order of their ids."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.class_names))
        shares: dict[str, float] = {}
        for name, count in zip(self.class_names, counts, strict=False):
            shares[name] = shares.get(name, 0.0) + float(count) / self.labels.size
        return shares

    def picture(self) -> Image.Image:
        """Returns the labels in the colours of their classes, a PIL image of mode RGB."""
        return Image.fromarray(drawing.colorize(self.labels, self._colors))

    def overlay(self, opacity: float = drawing.OVERLAY_OPACITY) -> Image.Image:
        """Returns the image with the colours of the labels laid over it, as predict draws it, a PIL image of mode RGB.

        Args:
          opacity: of the colours, 0 to 1.
        """
        if not 0 <= opacity <= 1:
            raise UserError(f"opacity={opacity!r}: expected 0 to 1")
        return Image.fromarray(drawing.overlay(self.image, self.labels, self._colors, opacity))

    def polygons(self) -> dict[str, list[list[np.ndarray]]]:
        """Returns {name of a class: list of polygons} for the classes that occur; needs the package contourpy.

        A polygon is a list of rings, first its outline, then its holes. A ring is an array (N, 2) of points (x, y) in
        pixels from the upper left corner of the image, whose last point is its first.
        """
        found: dict[str, list[list[np.ndarray]]] = {}
        for label in np.unique(self.labels).tolist():
            found.setdefault(self._dataset.class_name(label), []).extend(polygons.of_mask(self.labels == label))
        return found

    def save(self, path: str | os.PathLike) -> None:
        """Writes the ids as a PNG with the colours of the classes as its palette, as predict writes NAME.png.

        The ids are those of the label files that the network learned from, where they are known; `Segmenter.load(path,
        class_ids=True)` asks for class ids. Ids above 255 make a PNG of 16 bits without a palette.

        For a picture of another kind, `overlay()` and `picture()` have a `save` of their own.

        Args:
          path: the file, which is replaced if it exists; may be gs://.

        Raises:
          UserError: the name does not end in .png, since other formats change ids; or the file cannot be written.
        """
        path = os.fspath(path)
        if not path.lower().endswith(".png"):
            raise UserError(f"{path}: expected a name that ends in .png; overlay().save() writes other formats")
        try:
            ids = mask_ids.of_dataset(self._dataset, self._colors)
            drawing.save_png(path, ids.of(self.labels), ids.palette)
        except (OSError, tf.errors.OpError) as error:
            raise UserError(f"{path}: cannot be written ({one_line(error, 200)})") from None

    @property
    def _colors(self):
        return catalog.label_colormap(self._dataset)

    def __repr__(self):
        there = sorted((pair for pair in self.share.items() if pair[1]), key=lambda pair: -pair[1])
        parts = [f"{escaping.terminal(name)} {100 * share:.1f} %" for name, share in there[:_SHOWN]]
        more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
        return f"Result({self.labels.shape[0]}x{self.labels.shape[1]} pixels: {', '.join(parts)}{more})"


def names(dataset: catalog.Dataset) -> tuple[str, ...]:
    """Returns the names of the classes of a data set, in the order of their ids."""
    return tuple(dataset.class_name(label) for label in range(dataset.num_classes))
