"""Turns pairs of image and label files into records, in worker processes.

This module does not import TensorFlow, so that worker processes start quickly and stay small.
"""

import collections
import concurrent.futures
import multiprocessing
import os
from typing import NamedTuple

import numpy as np

from deeplab.data.building import label_rules, upright
from deeplab.data.building.masks import reading
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.pictures import images

_AHEAD = 4  # pairs per worker that are being read or wait to be written, which bounds the memory


class NewRecord(NamedTuple):
    """A record that is ready to be written, or the problem that a pair of files has."""

    name: str
    problem: str = ""  # names the file and says what is wrong; the fields below are then empty
    image: bytes = b""
    image_format: str = ""
    label: bytes = b""
    size: tuple = (0, 0)  # (height, width)
    turned: upright.Turned | None = None  # set if EXIF says that the image is shown turned
    losses: tuple = ()  # what the image has lost, keys of `bands.report.TOLD`
    histogram: np.ndarray | None = None  # (256,) number of pixels of each label value
    changes: dict = {}  # what had to be changed in the label, of `reading.read`
    look: bytes = b""  # of `likeness.look`


def make_record(pair, rules):
    """Reads and checks the files of a `Pair`; returns a `NewRecord`.

    Bad files raise no error: one build is to find all of them.
    """
    missing = [kind for kind in ("image", "label") if getattr(pair, kind) is None]
    if missing:
        present = pair.image or pair.label or pair.name
        return NewRecord(pair.name, f"{present}: its {missing[0]} is missing")
    if not _is_text(pair.name):
        return NewRecord(pair.name, f"{pair.image}: its name is not UTF-8, as names in records are; rename it")
    path = pair.image
    try:
        images.allow(rules.images.max_pixels)
        image = label_rules.stored_image(_content(pair.image), rules.images)
        path = pair.label
        label, turned, changes = reading.read(pair.label, image, rules)
    except (UserError, OSError) as error:
        return NewRecord(pair.name, f"{path}: {error}")
    except Exception as error:  # damaged bytes make decoders raise errors of any type
        return NewRecord(pair.name, f"{path}: cannot be read ({type(error).__name__}: {error})")
    histogram = label_rules.histogram(label)
    label = upright.png_bytes(label)
    turned = upright.Turned(str(pair.image), turned) if image.orientation != 1 else None
    facts = (turned, image.losses, histogram, changes, image.look)
    return NewRecord(pair.name, "", image.data, image.format, label, image.size, *facts)


def _content(image):
    """Returns the bytes of an image: of a file, or of what `read` of another object returns."""
    return paths.read_regular(image) if isinstance(image, str) else image.read()


def _is_text(name):
    """Tells whether a name can be written as UTF-8, which names of files need not be."""
    return name.encode(errors="replace") == os.fsencode(name)


def make_records(pairs, rules, workers):
    """Yields the `NewRecord` of every pair, in order.

    Args:
      pairs: list of `listing.Pair`.
      rules: `LabelRules`.
      workers: number of processes; with 1 the work is done in this process.
    """
    if workers <= 1:
        yield from (make_record(pair, rules) for pair in pairs)
        return
    context = multiprocessing.get_context("spawn")  # fork would copy TensorFlow's threads in a broken state
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        waiting = collections.deque()
        try:
            for pair in pairs:
                waiting.append(pool.submit(make_record, pair, rules))
                if len(waiting) >= workers * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
