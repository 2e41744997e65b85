"""The ids that stand in PNG files: those that people have in their label files, where a data set records them.

Inside of the programs, classes are numbered 0, 1, 2 and so on. One rule says what leaves them: PNG files of ids hold
the `source_ids` of the data set, and their palette has its `source_colors`. Arrays, scores and JSON keep class ids.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

_PALETTE_IDS = 256


class MaskIds(NamedTuple):
    """How class ids become the pixels of a PNG file.

    Attributes:
      ids: (K,) uint16, the id of each class, or None: class ids themselves.
      palette: (256, 3) uint8, the colours of the ids; None if an id is above 255, since no palette holds it.
    """

    ids: np.ndarray | None
    palette: np.ndarray | None

    def of(self, labels):
        """Returns the ids (H, W), uint8 or uint16, of class ids (H, W)."""
        return np.asarray(labels) if self.ids is None else self._smallest().take(np.asarray(labels))

    def _smallest(self):
        return self.ids.astype(np.uint8) if self.palette is not None else self.ids


def of_dataset(dataset, colors):
    """Returns the `MaskIds` of a `catalog.Dataset`; `colors`: (256, 3) uint8, its colour map of class ids."""
    source_colors = np.array(dataset.source_colors, np.uint8).reshape(-1, 3)
    palette = np.array(colors, np.uint8)
    palette[: len(source_colors)] = source_colors
    ids = np.array(dataset.source_ids, np.uint16)
    if not len(ids):
        return MaskIds(None, palette)
    if ids.max() >= _PALETTE_IDS:
        return MaskIds(ids, None)
    by_id = np.zeros((_PALETTE_IDS, 3), np.uint8)
    by_id[ids] = palette[: len(ids)]
    return MaskIds(ids, by_id)


def without(dataset):
    """Returns a `catalog.Dataset` that knows no ids and colours but those of the classes, as --class_ids asks for."""
    return dataclasses.replace(dataset, source_ids=(), source_colors=())


def sentence(dataset):
    """Returns the sentence that says that PNG files hold other ids than class ids, or "" if they do not."""
    ids = dataset.source_ids
    changed = [label for label, source in enumerate(ids) if label != source]
    if not changed:
        return ""
    first = changed[0]
    return (
        f"PNG files hold the ids of the label files that the network learned from, such as {ids[first]} for "
        f"{dataset.class_name(first)!r}, which is class {first}; --class_ids writes class ids"
    )
