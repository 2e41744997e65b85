"""What is known of each data set: classes, names, colours, ignore label, sizes of the splits.

`CATALOG` holds the published data sets; an own data set brings the same facts in `dataset.json` beside its shards.
"""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from deeplab.data import published_classes
from deeplab.errors import UserError
from deeplab.files import atomic

FILE = "dataset.json"
FORMAT = 1
DEFAULT_NAME = "pascal_voc_seg"  # reference: default of --dataset
MAX_LABEL = 255  # labels are uint8 images


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Facts about one data set.

    `ignore_label` is the value (0 to 255) of pixels neither trained on nor scored. `splits` maps a split to its number
    of images. `class_names` and `colors` ((R, G, B) each) have one entry per class, or are empty where unknown.
    `class_histogram` counts the pixels of each class over the training split, and `mean_size` is the mean
    (height, width) of its images; both empty where unknown.
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
        """Returns the name of the class `label`, or its number where it has none."""
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
    """Returns 256 numbers: the train id of every Cityscapes label id, 255 for those not trained on, -1 for no id."""
    last, ignore = published_classes.CITYSCAPES_LAST_RAW_ID, CATALOG["cityscapes"].ignore_label
    train_ids = [ignore if raw <= last or raw == ignore else -1 for raw in range(MAX_LABEL + 1)]
    for train_id, raw in enumerate(CITYSCAPES_RAW_IDS):
        train_ids[raw] = train_id
    return tuple(train_ids)


def load(dataset_dir, name=None):
    """Returns the `Dataset` of a folder of shards: its dataset.json where there is one, else `CATALOG[name]`.

    Args:
      dataset_dir: folder, local or remote; need not exist.
      name: catalogue name; None stands for the reference's default, pascal_voc_seg.

    Raises:
      UserError: an unknown name, or a dataset.json that cannot be read.
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


def save(dataset, dataset_dir):
    """Writes `dataset` to dataset.json in `dataset_dir`; the file is replaced as a whole or not at all."""
    atomic.write(tf.io.gfile.join(dataset_dir, FILE), to_json(dataset))


def to_json(dataset):
    """Returns `dataset` as the text of a dataset.json."""
    return json.dumps({"format": FORMAT, **dataclasses.asdict(dataset)}, indent=1) + "\n"


def from_json(text, where):
    """Returns the `Dataset` in `text` (str, bytes), the content of the file `where`, or raises a UserError."""
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

    Values outside the classes are black, but for data sets in PASCAL's colours (or without any), whose rule gives a
    colour to every value. Source: reference, utils/get_dataset_colormap.py.
    """
    rule = np.array(published_classes.bit_colors(256), np.uint8)
    colors = np.array(dataset.colors, np.uint8).reshape(-1, 3)
    if np.array_equal(rule[: len(colors)], colors):
        return rule
    colormap = np.zeros((256, 3), np.uint8)
    colormap[: len(colors)] = colors
    return colormap
