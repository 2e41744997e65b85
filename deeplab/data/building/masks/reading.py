"""Reads a label file by `LabelRules`, and counts what had to be changed for it.

This module does not import TensorFlow, since worker processes use it.
"""

import numpy as np
from PIL import Image

from deeplab.data.building import label_rules, upright
from deeplab.data.building.masks import colors, instances
from deeplab.errors import UserError
from deeplab.files import paths

_ROUNDED = 1.0  # pixels by which the sides of a mask may miss the proportions of its image, since sizes are rounded


def read(path, image, rules):
    """Returns the labels of an image, how it lay when they were drawn, and what was changed.

    Args:
      path: the label file, or the folder of masks of single objects, or an object of `data.annotations` that draws it.
      image: `label_rules.StoredImage` of the image.
      rules: `LabelRules`.

    Returns:
      labels: (H, W) uint8 of the size of the image.
      turned: as `upright.turn_label` returns it.
      changes: {"changed": pixels that took the nearest colour, "void": pixels without a near colour, "pixels": pixels
        of the label, "resized": 1 if the label had another size, "overlap": pixels on which shapes of several classes
        lie, "hidden": shapes that others hide}; {} if nothing was changed.

    Raises:
      UserError: the label cannot be read by these rules, or has another size than the image.
      OSError: the file cannot be opened.
    """
    labels, changes = _labels(path, image.size, rules)
    labels, turned = upright.turn_label(labels, image.size, image.orientation)
    if rules.resize and labels.shape != image.size:
        labels = resized(labels, image.size)
        changes = {**changes, "resized": 1}
    upright.check_same_size(image.size, labels.shape)
    return labels, turned, changes


def _labels(path, shown, rules):
    if not isinstance(path, str):
        labels, pixels, hidden = path.draw(shown, rules.ignore_label)
        return labels, {"overlap": pixels, "hidden": hidden} if pixels else {}
    if rules.format == "instances":
        return instances.read(path, rules), {}
    content = paths.read_regular(path)
    if rules.format == "rgb" and rules.color_tolerance:
        labels, changes = colors.nearest(label_rules.open_image(content), rules)
        return labels, {**changes, "pixels": labels.size} if changes else {}
    return label_rules.read_label(content, rules), {}


def resized(labels, size):
    """Returns labels (h, w) at another `size` (height, width) by nearest neighbour.

    Raises:
      UserError: the proportions do not agree, so that the label belongs to another cut of the picture.
    """
    (height, width), (old_height, old_width) = size, labels.shape
    scale = min(height / old_height, width / old_width)
    misses = abs(height / scale - old_height), abs(width / scale - old_width)
    if max(misses) > max(_ROUNDED, _ROUNDED / scale):
        raise UserError(
            f"image is {width}x{height}, label {old_width}x{old_height} (width x height): their proportions differ, so "
            "--resize_masks would shift the classes; cut or turn one of them"
        )
    return np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def summary(changes, images):
    """Returns lines about the sums of `changes` of a split of so many images."""
    lines = []
    if changes.get("pixels"):
        changed, void = (changes.get(kind, 0) / changes["pixels"] for kind in ("changed", "void"))
        lines.append(
            f"  colours that are not exact: {changed:.2%} of the pixels of these labels took the nearest colour of a "
            f"class, {void:.2%} have none within --color_tolerance and do not count"
        )
    if changes.get("resized"):
        lines.append(f"  {changes['resized']} of {images} labels resized to their images (--resize_masks)")
    return lines
