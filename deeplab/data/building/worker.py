"""What a builder's worker does: one pair of files becomes one record, or a line saying what is wrong with it.

No TensorFlow: worker processes start quickly and stay small.
"""

import collections
import concurrent.futures
import multiprocessing
from typing import NamedTuple

import numpy as np

from deeplab.data.building import label_rules, upright
from deeplab.errors import UserError
from deeplab.files import paths

_AHEAD = 4  # pairs in flight per worker: bounds the memory


class Pair(NamedTuple):
    """An image file, its label file, and the name of the record. `label` is None where the partner is missing."""

    name: str
    image: str | None
    label: str | None


class Prepared(NamedTuple):
    """A record ready to write, or why there is none (`problem`, naming the file)."""

    name: str
    problem: str = ""
    image: bytes = b""
    image_format: str = ""
    label: bytes = b""
    size: tuple = (0, 0)  # (height, width)
    turned: upright.Turned | None = None  # where EXIF said that the image is shown turned
    histogram: np.ndarray | None = None  # (256,) pixels of each label value


def prepare(pair, rules):
    """Reads and checks one pair; returns `Prepared`. Never raises for what is wrong with the files."""
    missing = [kind for kind in ("image", "label") if getattr(pair, kind) is None]
    if missing:
        present = pair.image or pair.label or pair.name
        return Prepared(pair.name, f"{present}: its {missing[0]} is missing")
    path = pair.image
    try:
        image = label_rules.image_record(paths.read(pair.image))
        path = pair.label
        label = label_rules.read_label(paths.read(pair.label), rules)
        label, turned = upright.turn_label(label, image.size, image.orientation)
        label_rules.check_same_size(image.size, label.shape)
    except (UserError, OSError) as error:
        return Prepared(pair.name, f"{path}: {error}")
    histogram = np.bincount(label.ravel(), minlength=256)
    label = label_rules.png_bytes(label)
    turned = upright.Turned(pair.image, turned) if image.orientation != 1 else None
    return Prepared(pair.name, "", image.data, image.format, label, image.size, turned, histogram)


def prepare_all(pairs, rules, workers):
    """Yields `Prepared` of every pair, in order; with more than one worker in that many processes, memory bounded."""
    if workers <= 1:
        yield from (prepare(pair, rules) for pair in pairs)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy TensorFlow's threads in a broken state
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        waiting = collections.deque()
        try:
            for pair in pairs:
                waiting.append(pool.submit(prepare, pair, rules))
                if len(waiting) >= workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
