"""Stores pictures upright whose EXIF orientation says that they are shown turned, as those of phones often are.

TensorFlow's decoders ignore EXIF, whereas `deeplab.predict` and viewers obey it. Of a picture that is stored upright
all of them see the same. This module does not import TensorFlow, since worker processes use it.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from deeplab.errors import UserError
from deeplab.pictures import images

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_SHOWN_TURNED = range(2, 9)
_AXES_SWAPPED = range(5, 9)
_QUALITY = 95  # of a JPEG that is encoded a second time
_SHOWN = 5  # files that a message names
AS_SHOWN, AS_STORED, EITHER = "as shown", "as stored", "either"


class Turned(NamedTuple):
    """A picture that was turned."""

    path: str
    label: str  # how the picture lay when its label was drawn: `AS_SHOWN`, `AS_STORED`, or `EITHER` if both sizes fit


def orientation(image):
    """Returns the EXIF orientation of a PIL image, 1 to 8."""
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in _SHOWN_TURNED else 1


def encode(image):
    """Returns (bytes, "jpeg" or "png", (height, width)) of a PIL image as it is shown, in RGB or grey.

    A JPEG is encoded as JPEG again, at a high quality, unless its colours have to be converted. All else becomes PNG.

    Raises:
      ValueError: from `images.to_rgb`.
    """
    turned = ImageOps.exif_transpose(image)
    jpeg = image.format in images.JPEGS and image.mode in ("RGB", "L")
    if not jpeg:
        turned = images.to_rgb(turned, image.format)
    file = io.BytesIO()
    if jpeg:
        turned.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    else:
        turned.save(file, "PNG")
    return file.getvalue(), "jpeg" if jpeg else "png", (turned.height, turned.width)


def turn_label(label, size, orientation):
    """Turns the label of a picture with this EXIF orientation if it was drawn on the pixels as they are stored.

    Args:
      label: (H, W) uint8.
      size: (height, width) of the picture as it is shown.
      orientation: 1 to 8.

    Returns:
      The label, and how the picture lay when it was drawn: `AS_SHOWN`, `AS_STORED` or `EITHER`. Both ways fit if the
      picture is square, mirrored or upside down. Its label is then taken as it is, since most programs in which
      labels are drawn obey EXIF.
    """
    stored = size[::-1] if orientation in _AXES_SWAPPED else size
    if label.shape != stored:
        return label, AS_SHOWN
    if label.shape == size:
        return label, EITHER
    picture = Image.fromarray(label)
    picture.getexif()[_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(picture)), AS_STORED


def summary(turned):
    """Returns a list of lines of text about the `Turned` pictures of a split."""
    if not turned:
        return []
    lines = [f"  {len(turned)} of them turned upright, as their EXIF says (JPEGs encoded again, quality {_QUALITY})"]
    along = [one.path for one in turned if one.label == AS_STORED]
    either = [one.path for one in turned if one.label == EITHER]
    if along:
        lines.append(f"  labels of the size before turning, which were turned, too: {len(along)} ({_some(along)})")
    if either:
        lines.append(
            f"  labels that fit both ways and were taken as upright: {len(either)} ({_some(either)}); "
            "if that is wrong, save the images upright"
        )
    return lines


def _some(paths):
    return ", ".join(paths[:_SHOWN]) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")


def check_same_size(image_size, label_size):
    """Raises a UserError if image and label differ in (height, width)."""
    if image_size != label_size:
        (height, width), (label_height, label_width) = image_size, label_size
        turned = image_size == label_size[::-1]
        way_out = "one of them was turned: turn it back" if turned else "--resize_masks fits labels to their images"
        raise UserError(f"image is {width}x{height}, label {label_width}x{label_height} (width x height); {way_out}")


def png_bytes(array):
    """Returns a uint8 array (H, W) or (H, W, 3) as PNG."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()
