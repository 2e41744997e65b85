"""Reads any data set of TensorFlow Datasets that has an image and a mask: `--dataset=tfds:NAME[:split]`.

TFDS stores TFRecord files, too. Three things differ from our own shards: which files and records make up a split, the
keys of image and mask, and the meaning of the values of the mask.
"""

import functools
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab.data import catalog, shard_state, tfrecord
from deeplab.data.split import Split
from deeplab.errors import UserError, one_line

_SPEC = re.compile(r"(?P<name>[\w/-]+(:\d+\.[\d.*]+)?)(:(?P<split>[^:]+(\[.*\])?))?")
_IMAGES = ("image", "image_left", "image/encoded")
_MASKS = ("segmentation_mask", "annotation", "segmentation_label", "mask", "label", "image/segmentation/class/encoded")
_NAMES = ("file_name", "filename", "image_id", "name", "image/filename")


class Known(NamedTuple):
    """Facts about the masks of a data set that TFDS does not tell."""

    dataset: catalog.Dataset | None
    offset: int = 0  # added to every value of the mask
    lookup: tuple | None = None  # label of every value, in place of the offset


_PET = catalog.Dataset("oxford_iiit_pet", 3, class_names=("pet", "background", "border"))
KNOWN = {
    "oxford_iiit_pet": Known(_PET, offset=-1),
    "scene_parse150": Known(catalog.CATALOG["ade20k"]),
    "cityscapes": Known(catalog.CATALOG["cityscapes"], lookup=catalog.cityscapes_train_ids()),
}


def open_split(spec, split, read):
    """Returns the `Split` of a TFDS data set.

    Args:
      spec: "NAME" or "NAME/CONFIG:VERSION", to which ":SPLIT" may be added, which overrides `split`.
      split: TFDS split, e.g. "train" or "train[:80%]" or "train+test".
      read: `ReadConfig`.

    Raises:
      UserError: the data set or split is unknown; it has no image or mask; the number of classes is not known.
    """
    match = _SPEC.fullmatch(spec)
    if not match:
        raise UserError(f"--dataset=tfds:{spec}: expected tfds:NAME or tfds:NAME:split")
    if match["split"] and "+" in split:
        raise UserError(f"--dataset=tfds:{spec}: names a split, which does not go with several in --train_split")
    builder = _builder(match["name"], read)
    split = match["split"] or split
    image, mask, name = _features(builder, read)
    dataset, lookup = _labels(builder, mask, read)
    paths, index, states = _files(builder, split)
    parse = functools.partial(_parse, image, mask, name)
    return Split(dataset, split, paths, index, parse, lookup, states)


def _builder(name, read):
    try:
        builder = tfds.builder(name, data_dir=read.tfds_data_dir)
        if not builder.info.splits:
            builder.download_and_prepare()
        return builder
    except Exception as error:  # TFDS and its downloads raise errors of many classes
        cause = one_line(error, 200)
        raise UserError(f"--dataset=tfds:{name}: cannot be opened ({cause}); see --tfds_data_dir") from None


def _flat(features, prefix=""):
    for key, feature in features.items():
        if isinstance(feature, tfds.features.FeaturesDict):
            yield from _flat(feature, f"{prefix}{key}/")
        else:
            yield prefix + key, feature


def _features(builder, read):
    """Returns the keys of image, mask and file name in the records; "" if the records have no file name."""
    features = dict(_flat(builder.info.features))
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    one_channel = [key for key in images if features[key].shape[-1] == 1]
    mask = _choose(read.tfds_label, _MASKS, one_channel, images, "tfds_label", builder)
    image = _choose(read.tfds_image, _IMAGES, [], [key for key in images if key != mask], "tfds_image", builder)
    name = next((key for key in _NAMES if isinstance(features.get(key), tfds.features.Text)), "")
    return image, mask, name


def _choose(wanted, usual, likely, all_keys, flag, builder):
    candidates = [wanted] if wanted else [*usual, *likely, *(all_keys if len(all_keys) == 1 else ())]
    for key in candidates:
        if key in all_keys:
            return key
    raise UserError(
        f"--{flag}={wanted or ''}: tfds:{builder.name} has the images {', '.join(all_keys) or 'none'}; name one of them"
    )


def _labels(builder, mask, read):
    """Returns the `catalog.Dataset` and the label of every value of the mask, (256,) uint8."""
    known = KNOWN.get(builder.name, Known(None))
    feature = dict(_flat(builder.info.features))[mask]
    count = read.tfds_num_classes or getattr(feature, "num_classes", None)
    dataset = known.dataset
    if dataset is None or (read.tfds_num_classes and read.tfds_num_classes != dataset.num_classes):
        if not count:
            raise UserError(f"--tfds_num_classes is not given, and tfds:{builder.name} does not say how many it has")
        dataset = catalog.Dataset(builder.name, count)
    ignore = dataset.ignore_label if read.ignore_label is None else read.ignore_label
    splits = {name: info.num_examples for name, info in builder.info.splits.items()}
    dataset = catalog.Dataset(
        dataset.name, dataset.num_classes, ignore, splits, dataset.class_names, dataset.colors
    )  # fmt: skip
    offset = known.offset if read.label_offset is None else read.label_offset
    if known.lookup and read.label_offset is None:
        lookup = np.array(known.lookup)
    else:
        lookup = np.arange(256) + offset
        lookup[ignore] = ignore
    lookup = np.where(lookup < 0, ignore, np.minimum(lookup, 255))
    return dataset, lookup.astype(np.uint8)


def _files(builder, split):
    """Returns (paths, index, states), as in `Split`, of a split or of a part of it such as train[:80%]."""
    if builder.info.file_format.value != "tfrecord":
        raise UserError(
            f"tfds:{builder.name} is stored as {builder.info.file_format.value}; prepare it with file_format=tfrecord"
        )
    try:
        instructions = builder.info.splits[split].file_instructions
    except (KeyError, ValueError, AssertionError):
        names = ", ".join(builder.info.splits)
        raise UserError(f"split {split!r} does not exist in tfds:{builder.name}: expected one of {names}") from None
    paths = tuple(instruction.filename for instruction in instructions)
    contents, states = shard_state.open_shards(paths)
    parts = []
    for shard, instruction in enumerate(instructions):
        rows = tfrecord.join([contents[shard]])
        rows = rows[instruction.skip : None if instruction.take < 0 else instruction.skip + instruction.take]
        rows[:, 0] = shard
        parts.append(rows)
    return paths, np.concatenate(parts), states


def _parse(image, mask, name, serialized):
    missing = tf.io.FixedLenFeature((), tf.string, default_value="")
    features = tf.io.parse_single_example(
        serialized, dict.fromkeys([key for key in (image, mask, name) if key], missing)
    )
    filename = features[name] if name else tf.constant("")
    return {"image": features[image], "label": features[mask], "filename": filename}
