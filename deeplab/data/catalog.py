"""Facts about each data set: classes, names, colours, ignore label, sizes of the splits.

`CATALOG` holds the published data sets. A data set of your own has the same facts in `dataset.json` beside its shards.
"""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from deeplab.config.data import TFDS_PREFIX
from deeplab.data import published_classes
from deeplab.errors import UserError
from deeplab.files import atomic

FILE = "dataset.json"
FORMAT = 1
DEFAULT_NAME = "pascal_voc_seg"  # reference: default of --dataset
MAX_LABEL = 255  # labels are uint8 images


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Facts about one data set. Tuples are empty if the fact is not known.

    Attributes:
      name: such as "cityscapes".
      num_classes: 1 to 256; labels are 0 to num_classes - 1.
      ignore_label: 0 to 255, the label of pixels that are neither trained on nor scored. It may be one of the classes.
      splits: {split: number of images}.
      class_names: one name per class.
      colors: one (R, G, B) per class.
      class_histogram: number of pixels of each class in the training split.
      mean_size: mean (height, width) of the images of the training split.

    Raises:
      UserError: a value is out of its range, or a tuple has not one entry per class.
    """

    name: str
    num_classes: int
    ignore_label: int = 255
    splits: dict = dataclasses.field(default_factory=dict, hash=False)
    class_names: tuple = ()
    colors: tuple = ()
    class_histogram: tuple = ()
    mean_size: tuple = ()

    def __post_init__(self):
        for field in ("class_names", "class_histogram", "mean_size"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        object.__setattr__(self, "colors", tuple(tuple(int(v) for v in color) for color in self.colors))
        if not 1 <= self.num_classes <= MAX_LABEL + 1:
            raise UserError(f"num_classes={self.num_classes}: expected 1 to {MAX_LABEL + 1}")
        if not 0 <= self.ignore_label <= MAX_LABEL:
            raise UserError(f"ignore_label={self.ignore_label}: expected 0 to {MAX_LABEL}")
        for field in ("class_names", "colors", "class_histogram"):
            size = len(getattr(self, field))
            if size not in (0, self.num_classes):
                raise UserError(f"{field} has {size} entries: expected {self.num_classes}, one per class")
        if any(len(color) != 3 or min(color) < 0 or max(color) > 255 for color in self.colors):
            raise UserError(f"colors={self.colors}: expected three values 0 to 255 for each class")

    def class_name(self, label):
        """Returns the name of the class `label`, or "class N" if the classes have no names."""
        return self.class_names[label] if label < len(self.class_names) else f"class {label}"


CATALOG = {
    "pascal_voc_seg": Dataset(
        "pascal_voc_seg",
        num_classes=21,
        splits={"train": 1464, "train_aug": 10582, "trainval": 2913, "val": 1449},
        class_names=published_classes.VOC_NAMES,
        colors=published_classes.bit_colors(21),
    ),
    "cityscapes": Dataset(
        "cityscapes",
        num_classes=19,
        splits={
            "train_fine": 2975,
            "train_coarse": 22973,
            "trainval_fine": 3475,
            "trainval_coarse": 23473,
            "val_fine": 500,
            "test_fine": 1525,
        },
        class_names=published_classes.CITYSCAPES_NAMES,
        colors=published_classes.CITYSCAPES_COLORS,
    ),
    "ade20k": Dataset(
        "ade20k",
        num_classes=151,
        ignore_label=0,  # class 0 (other objects) has a logit but is neither trained nor scored
        splits={"train": 20210, "val": 2000},
        class_names=published_classes.ADE20K_NAMES,
        colors=published_classes.ADE20K_COLORS,
    ),
    "camvid": Dataset(
        "camvid",
        num_classes=11,
        ignore_label=11,
        splits={"train": 367, "val": 101},
        class_names=published_classes.CAMVID_NAMES,
        colors=published_classes.CAMVID_COLORS,
    ),
}

CITYSCAPES_RAW_IDS = published_classes.CITYSCAPES_RAW_IDS  # train id -> id that the evaluation server expects


def cityscapes_train_ids():
    """Returns 256 train ids, one per Cityscapes label id: 255 if it is ignored, -1 if there is no such id."""
    last, ignore = published_classes.CITYSCAPES_LAST_RAW_ID, CATALOG["cityscapes"].ignore_label
    train_ids = [ignore if raw <= last or raw == ignore else -1 for raw in range(MAX_LABEL + 1)]
    for train_id, raw in enumerate(CITYSCAPES_RAW_IDS):
        train_ids[raw] = train_id
    return tuple(train_ids)


def load(dataset_dir, name=None):
    """Returns the `Dataset` of a folder of shards: from its dataset.json if there is one, else `CATALOG[name]`.

    Args:
      dataset_dir: folder, local or remote, that need not exist; or None.
      name: catalogue name; None stands for the reference's default, pascal_voc_seg.

    Raises:
      UserError: the name is unknown, or dataset.json is damaged.
    """
    path = tf.io.gfile.join(dataset_dir, FILE) if dataset_dir else ""
    if path and tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path, "rb") as file:
            return from_json(file.read(), path)
    name = DEFAULT_NAME if name is None else name
    if name not in CATALOG:
        raise UserError(
            f"--dataset={name}: expected one of {', '.join(CATALOG)}, tfds:NAME, or a --dataset_dir with {FILE}"
        )
    return CATALOG[name]


def refuse_other(name, dataset):
    """Raises a UserError if --dataset names another data set than `dataset`, which is used whatever the flag says."""
    if name and not name.startswith(TFDS_PREFIX) and name != dataset.name:
        raise UserError(
            f"--dataset={name}: has no effect, because the data set is {dataset.name!r} with {dataset.num_classes} "
            f"classes, as {FILE} or the checkpoint tells; leave the flag out"
        )


def save(dataset, dataset_dir):
    """Writes `dataset` to dataset.json in `dataset_dir`, atomically."""
    atomic.write(tf.io.gfile.join(dataset_dir, FILE), to_json(dataset))


def to_json(dataset):
    """Returns `dataset` as the text of a dataset.json."""
    return json.dumps({"format": FORMAT, **dataclasses.asdict(dataset)}, indent=1) + "\n"


def from_json(text, where):
    """Returns the `Dataset` in the text of a dataset.json, str or bytes; raises a UserError that names `where`."""
    try:
        values = json.loads(text)
        written = values.pop("format", FORMAT)
        if written != FORMAT:
            raise UserError(f"format {written} was written by another version; build the data set again")
        return Dataset(**values)
    except (UserError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{where}: {error}") from None


def label_colormap(dataset):
    """Returns (256, 3) uint8: the colour of every label value.

    Data sets with PASCAL's colours, or with none, get the colour of PASCAL's rule for every value. For other data sets
    values outside the classes are black. Source: reference, utils/get_dataset_colormap.py.
    """
    rule = np.array(published_classes.bit_colors(256), np.uint8)
    colors = np.array(dataset.colors, np.uint8).reshape(-1, 3)
    if np.array_equal(rule[: len(colors)], colors):
        return rule
    colormap = np.zeros((256, 3), np.uint8)
    colormap[: len(colors)] = colors
    return colormap
