"""Pictures whose EXIF says that they are shown turned, as phones write them: stored as they are shown. No TensorFlow.

TensorFlow's decoders ignore EXIF, `deeplab.predict` and viewers obey it; stored upright they all see the same picture.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from deeplab.pictures import images

_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_SHOWN_TURNED = range(2, 9)
_AXES_SWAPPED = range(5, 9)
_QUALITY = 95  # of a JPEG that is encoded a second time
_SHOWN = 5  # files named in a message
AS_SHOWN, AS_STORED, EITHER = "as shown", "as stored", "either"


class Turned(NamedTuple):
    """A picture that was turned: file, and on what its label seems to be drawn (`EITHER` where both sizes fit)."""

    path: str
    label: str


def orientation(image):
    """Returns the EXIF orientation of a PIL image, 1 to 8."""
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in _SHOWN_TURNED else 1


def encode(image):
    """Returns (bytes, "jpeg" or "png", (height, width)) of a PIL image as it is shown, in RGB or grey.

    JPEGs stay JPEGs, at a high quality, unless their colours have to be converted; the rest becomes PNG.

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
      The label, and `AS_SHOWN`, `AS_STORED` or `EITHER`: a square picture, a mirrored one or one upside down fits both
      ways, and its label is taken as it is, since most programs in which labels are drawn obey EXIF.
    """
    stored = size[::-1] if orientation in _AXES_SWAPPED else size
    if label.shape != stored:
        return label, AS_SHOWN
    if label.shape == size:
        return label, EITHER
    picture = Image.fromarray(label)
    picture.getexif()[_ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(picture)), AS_STORED


def told(turned):
    """Returns lines of text about the `Turned` pictures of a split; none where there are none."""
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
