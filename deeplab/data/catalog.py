"""Facts about each data set: classes, names, colours, ignore label, sizes of the splits.

`CATALOG` holds the published data sets. A data set of your own has the same facts in `dataset.json` beside its shards.
"""

import dataclasses

import tensorflow as tf

from deeplab.config.data import is_tfds
from deeplab.data import published_classes
from deeplab.data.channels.facts import Channels, require_same, written
from deeplab.errors import UserError
from deeplab.files import atomic, formats

FILE = "dataset.json"
DEFAULT_NAME = "pascal_voc_seg"  # reference: default of --dataset
MAX_LABEL = 255  # labels are uint8 images
MAX_SOURCE_ID = 65535  # label files that people have may hold 16 bits


@dataclasses.dataclass(frozen=True)
class Dataset(Channels):
    """Facts about one data set. Tuples are empty if the fact is not known.

    Attributes:
      name: such as "cityscapes".
      num_classes: 1 to 256; labels are 0 to num_classes - 1.
      ignore_label: 0 to 255, the label of pixels that are neither trained on nor scored. It may be one of the classes.
      splits: {split: number of images}.
      class_names: one name per class.
      colors: one (R, G, B) per class.
      class_histogram: {split: number of pixels of each class}. A plain sequence, which is what older versions wrote,
        belongs to the training split.
      class_image_pixels: {split: for each class the number of pixels, ignored ones included, of the images that hold
        the class}.
      mean_size: mean (height, width) of the images of the training split.
      largest_sizes: {split: the smallest (height, width) that holds every image}, of the splits for which it is known.
      source_ids: for each class the id 0 to 65535 that it has in the label files, where that is another number.
      source_colors: for each class the (R, G, B) that it has in the label files, where these were read by colour.
      num_channels, value_range, bands: see `Channels`.

    Raises:
      UserError: a value is out of its range, or a tuple has not one entry per class.
    """

    name: str
    num_classes: int
    ignore_label: int = 255
    splits: dict = dataclasses.field(default_factory=dict, hash=False)
    class_names: tuple = ()
    colors: tuple = ()
    class_histogram: dict = dataclasses.field(default_factory=dict, hash=False)
    class_image_pixels: dict = dataclasses.field(default_factory=dict, hash=False)
    mean_size: tuple = ()
    largest_sizes: dict = dataclasses.field(default_factory=dict, hash=False)
    source_ids: tuple = ()
    source_colors: tuple = ()

    def __post_init__(self):
        for field in ("class_names", "mean_size", "source_ids"):
            object.__setattr__(self, field, tuple(getattr(self, field) or ()))
        if not isinstance(self.class_histogram, dict):
            counts = tuple(self.class_histogram)
            object.__setattr__(self, "class_histogram", {self.training_split: counts} if counts else {})
        for field in ("class_histogram", "class_image_pixels"):
            counted = {split: tuple(map(int, counts)) for split, counts in getattr(self, field).items()}
            object.__setattr__(self, field, counted)
        for field in ("colors", "source_colors"):
            given = getattr(self, field) or ()
            object.__setattr__(self, field, tuple(tuple(int(v) for v in color) for color in given))
        largest = {split: tuple(map(int, size)) for split, size in self.largest_sizes.items()}
        object.__setattr__(self, "largest_sizes", largest)
        self.check_channels()
        self._check()

    def _check(self):
        if not 1 <= self.num_classes <= MAX_LABEL + 1:
            raise UserError(f"num_classes={self.num_classes}: expected 1 to {MAX_LABEL + 1}")
        if not 0 <= self.ignore_label <= MAX_LABEL:
            raise UserError(f"ignore_label={self.ignore_label}: expected 0 to {MAX_LABEL}")
        entries = {field: getattr(self, field) for field in ("class_names", "colors", "source_ids", "source_colors")}
        for field in ("class_histogram", "class_image_pixels"):
            entries |= {f"{field} of {split!r}": counts for split, counts in getattr(self, field).items()}
        for field, values in entries.items():
            if len(values) not in (0, self.num_classes):
                raise UserError(f"{field} has {len(values)} entries: expected {self.num_classes}, one per class")
        for field in ("colors", "source_colors"):
            if any(len(color) != 3 or min(color) < 0 or max(color) > 255 for color in getattr(self, field)):
                raise UserError(f"{field}={getattr(self, field)}: expected three values 0 to 255 for each class")
        if not all(0 <= source <= MAX_SOURCE_ID for source in self.source_ids):
            raise UserError(f"source_ids={self.source_ids}: expected numbers 0 to {MAX_SOURCE_ID}")
        if any(len(size) != 2 or min(size) < 1 for size in self.largest_sizes.values()):
            raise UserError(f"largest_sizes={self.largest_sizes}: expected a height and a width for each split")

    @property
    def training_split(self):
        """The first split whose name begins with train; without such a split the first one."""
        order = list(self.splits)
        return min(order, key=lambda split: (not split.startswith("train"), order.index(split)), default="train")

    def class_name(self, label):
        """Returns the name of the class `label`, or "class N" if the classes have no names."""
        return self.class_names[label] if label < len(self.class_names) else f"class {label}"


def class_difference(first, second):
    """Returns in words how the classes of two `Dataset`s differ, or "" if they are the same.

    This is the one rule by which a network and a split, or two trainings, are compared. Names are compared without
    regard to case and to spaces around them. A class whose name is not known on either side, "class N" included, is
    the same as any other, so that data sets without names are compared by the number of their classes alone.

    Returns:
      "3 classes, not 4", or "the same classes in another order: class 0 is 'sky', not 'road'", or "other classes: class
      0 is 'sky', not 'road', and 2 more differ". What is named first belongs to `first`.
    """
    if first.num_classes != second.num_classes:
        return f"{first.num_classes} classes, not {second.num_classes}"
    names = [_comparable_names(dataset) for dataset in (first, second)]
    differ = [label for label, pair in enumerate(zip(*names, strict=True)) if None not in pair and pair[0] != pair[1]]
    if not differ:
        return ""
    same_set = None not in names[0] and sorted(map(str, names[0])) == sorted(map(str, names[1]))
    label = differ[0]
    more = f", and {len(differ) - 1} more differ" if len(differ) > 1 else ""
    return (
        f"{'the same classes in another order' if same_set else 'other classes'}: class {label} is "
        f"{first.class_names[label]!r}, not {second.class_names[label]!r}{more}"
    )


def same_classes(dataset, other):
    """Returns, for each class of `dataset`, the class of `other` with the same name; None where there is none.

    Names are compared as in `class_difference`, except that an unknown name is not the same as any other.
    """
    names = _comparable_names(other)
    labels = {name: names.index(name) for name in names}
    return [None if name is None else labels.get(name) for name in _comparable_names(dataset)]


def _comparable_names(dataset):
    """Returns the name of each class in the form that is compared, None where it is not known."""
    names = (dataset.class_name(label).strip().casefold() for label in range(dataset.num_classes))
    return [None if name == f"class {label}" else name for label, name in enumerate(names)]


def require_same_classes(predicted, dataset, network, dataset_dir):
    """Refuses to run a network on a data set with other classes.

    Args:
      predicted: the `Dataset` with the classes that the network predicts.
      dataset: the `Dataset` that it is to run on.
      network, dataset_dir: the paths that the user named, for the message.

    Raises:
      UserError: `class_difference` finds a difference.
    """
    require_same(predicted, dataset, network, dataset_dir)
    difference = class_difference(predicted, dataset)
    if difference:
        place = f"{dataset.name} in {dataset_dir}" if dataset_dir else dataset.name
        same_count = predicted.num_classes == dataset.num_classes
        advice = f", or, if only the spelling differs, change the names in {FILE}" if same_count else ""
        raise UserError(
            f"{network} does not predict the classes of {place}: {difference}; "
            f"name the data set that it was trained on{advice}"
        )


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
    if dataset_dir and tf.io.gfile.exists(path := tf.io.gfile.join(dataset_dir, FILE)):
        return _of_values(_KIND.read(path), path)
    name = DEFAULT_NAME if name is None else name
    if name not in CATALOG:
        raise UserError(
            f"--dataset={name}: expected one of {', '.join(CATALOG)}, tfds:NAME, or a --dataset_dir with {FILE}"
        )
    return CATALOG[name]


_OF_CHANNELS = tuple(field.name for field in dataclasses.fields(Channels))
_FIELDS = tuple(field.name for field in dataclasses.fields(Dataset) if field.name not in _OF_CHANNELS)
_COUNTS = [float]  # of pixels; large counts may be written as 1e12
_KIND = formats.Kind(
    "a description of a data set",
    "build the data set again",
    _FIELDS[:2],
    _FIELDS[2:] + _OF_CHANNELS,
    types={
        **{"name": str, "num_classes": int, "ignore_label": int, "class_names": [str], "colors": [[float]]},
        **{"source_ids": ([int], None), "source_colors": ([[int]], None)},
        **{"splits": {str: int}, "mean_size": [float], "largest_sizes": {str: [float]}},
        **{"class_histogram": ({str: _COUNTS}, _COUNTS), "class_image_pixels": {str: _COUNTS}},
        **{"num_channels": int, "value_range": (str, [float]), "bands": [int]},
    },
)


def refuse_other(name, dataset):
    """Raises a UserError if --dataset names another data set than `dataset`, which is used whatever the flag says."""
    if name and not is_tfds(name) and name != dataset.name:
        raise UserError(
            f"--dataset={name}: has no effect, because the data set is {dataset.name!r} with {dataset.num_classes} "
            f"classes, as {FILE} or the checkpoint tells; leave the flag out"
        )


def save(dataset, dataset_dir):
    """Writes `dataset` to dataset.json in `dataset_dir`, atomically."""
    atomic.write(tf.io.gfile.join(dataset_dir, FILE), to_json(dataset))


def to_json(dataset):
    """Returns `dataset` as the text of a dataset.json."""
    return _KIND.text(written(dataclasses.asdict(dataset)))


def from_json(text, where):
    """Returns the `Dataset` in the text of a dataset.json, str or bytes; raises a UserError that names `where`."""
    return _of_values(_KIND.parse(text, where), where)


def _of_values(values, where):
    """Returns the `Dataset` of what a `formats.Kind` read."""
    del values["format"]
    try:
        return Dataset(**values)
    except (UserError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{where}: {error}") from None


def label_colormap(dataset):
    """Returns (256, 3) uint8: the colour of every label value.

    See `published_classes.colormap`. Source: reference, utils/get_dataset_colormap.py.
    """
    return published_classes.colormap(dataset.colors)
