"""Tells how alike two splits are: by the names of series, and by thumbnails that look the same.

Validation on images that are nearly those of the training says little about other images: neighbours in a film, or two
cuts of one slide. Two cheap signs of it are looked for. The first is the name: what is left of it without the digits at
its end is the series, such as the drive of a camera. The second is the look: each image is shrunk to 16x16 grey values,
and each of these becomes one bit, brighter than the mean or not; images are near-duplicates if at most `NEAR` of the
256 bits differ. This module does not import TensorFlow, since worker processes use it.
"""

import re

import numpy as np
from PIL import Image

SIDE = 16  # of a thumbnail
NEAR = 12  # bits of 256; in CamVid, frames a second apart differ by 25, other pairs by 55 (medians)
_FLAT = 4  # standard deviation of grey values below which an image has no look to compare
_SAMPLES = 4  # pixels of an image along each side of a cell of the thumbnail, which is as good as all and quick
_MOST = 4096  # images of the training split that are compared at once
_SERIES = re.compile(r"[_\-. ]*\d+\D{0,4}$")  # what a name has besides its series


def look(image):
    """Returns the 32 bytes that tell how a PIL image looks, b"" for one without contrast."""
    side = SIDE * _SAMPLES
    small = image.resize((side, side), Image.Resampling.NEAREST)
    if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        small = small.convert("RGB")
    if image.mode == "1":
        small = small.convert("L")
    values = np.nan_to_num(np.asarray(small).astype(np.float32), posinf=0, neginf=0)
    grey = values.mean(-1) if values.ndim == 3 else values
    cells = grey.reshape(SIDE, _SAMPLES, SIDE, _SAMPLES).mean((1, 3))
    return np.packbits(cells > cells.mean()).tobytes() if cells.std() >= _FLAT else b""


def near_duplicates(first, second):
    """Returns [(name in `first`, name in `second`)] for each name of `first` with a near-duplicate in `second`.

    Args:
      first, second: {name: bytes} of `look`.
    """
    names, bits = _signs(first)
    others, other_bits = _signs(second)
    best = np.full(len(names), -np.inf, np.float32)
    nearest = np.zeros(len(names), int)
    for start in range(0, len(others), _MOST):
        alike = bits @ other_bits[start : start + _MOST].T  # 256 minus twice the number of bits that differ
        here = alike.argmax(1)
        better = alike[np.arange(len(names)), here] > best
        nearest[better] = start + here[better]
        best = np.maximum(best, alike.max(1))
    near = best >= 8 * 32 - 2 * NEAR
    return [(name, others[nearest[i]]) for i, name in enumerate(names) if near[i]]


def _signs(looks):
    """Returns the names that have a look, and these as (N, 256) float32 of -1 and 1."""
    names = [name for name, value in looks.items() if value]
    bits = np.frombuffer(b"".join(looks[name] for name in names), np.uint8).reshape(-1, 32)
    return names, np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1


def series(name):
    """Returns the series that a name belongs to: "drive_2/0016E5_07959" -> "drive_2/0016E5"; "" if it has none."""
    rest = _SERIES.sub("", name)
    return rest if any(letter.isdigit() for letter in rest) or "/" in rest else ""


def report(looks):
    """Returns lines about how much each split is like the training split.

    Args:
      looks: {split: {name: bytes of `look`}}.
    """
    train = next((split for split in looks if split.startswith("train")), None)
    lines = []
    for split in looks:
        if train is None or split == train or split.startswith("train") or not looks[split]:
            continue
        count = len(looks[split])
        near = near_duplicates(looks[split], looks[train])
        shared = {series(name) for name in looks[train]} - {""}
        of_series = [name for name in looks[split] if series(name) in shared]
        all_series = {series(name) for names in (looks[train], looks[split]) for name in names}
        signs = []
        if of_series and len(all_series) > 1:
            signs.append(f"{len(of_series)} of {count} images belong to a series of {train}, such as "
                         f"{series(of_series[0])!r}")  # fmt: skip
        if near:
            signs.append(f"{len(near)} of {count} look almost as one of {train}, such as {near[0][0]} and {near[0][1]}")
        if signs:
            lines.append(f"{split}: {'; '.join(signs)}. Scores on {split} may be too high: --group_by=REGEX, such as "
                         r"--group_by='(.+)[_-]\d+', keeps what belongs together on one side")  # fmt: skip
        else:
            lines.append(f"{split}: no image looks almost as one of {train}, and none is of the same series")
    return lines
