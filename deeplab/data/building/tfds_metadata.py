"""Writes metadata beside the shards, with which `tfds.builder_from_directory(dataset_dir)` opens them."""

import os
import tempfile

import tensorflow as tf

from deeplab.data import catalog, tfrecord
from deeplab.files import atomic, paths

VERSION = "1.0.0"


def write(dataset_dir):
    """Writes TFDS's dataset_info.json and features.json for all shards of the folder, replacing older ones.

    TFDS cannot write to every kind of remote folder. It writes to a folder on disk, and the files are copied.
    """
    with tempfile.TemporaryDirectory() as scratch:
        _write(dataset_dir, scratch)
        for name in os.listdir(scratch):
            if name.endswith(".json"):
                atomic.write(tf.io.gfile.join(dataset_dir, name), paths.read(os.path.join(scratch, name)))


def _write(dataset_dir, scratch):
    import tensorflow_datasets as tfds  # takes seconds to import

    dataset = catalog.load(dataset_dir)
    template = tfds.core.ShardedFileTemplate(
        data_dir=scratch, template="{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}", filetype_suffix="tfrecord"
    )
    infos = []
    for split, shards in tfrecord.splits(dataset_dir).items():
        for path in shards:  # TFDS finds shards by their names, so empty files stand for them
            open(os.path.join(scratch, os.path.basename(path)), "wb").close()
        sizes = [len(tfrecord.index([path])) for path in shards]
        num_bytes = sum(tf.io.gfile.stat(path).length for path in shards)
        infos.append(
            tfds.core.SplitInfo(name=split, shard_lengths=sizes, num_bytes=num_bytes, filename_template=template)
        )
    tfds.folder_dataset.write_metadata(
        data_dir=scratch,
        features=_features(tfds, dataset),
        split_infos=infos,
        filename_template=template,
        description=f"{dataset.name}: {dataset.num_classes} classes, ignore label {dataset.ignore_label}.",
        check_data=False,
    )


def _features(tfds, dataset):
    """Returns the features of a record: TFDS joins nested names with slashes, which gives the reference's keys."""
    number = tfds.features.Scalar(tf.int64)
    image = tfds.features.Image(shape=(None, None, 3))
    if dataset.stores_bands:
        image = tfds.features.Scalar(tf.string)  # as in `channels.stored`, which TFDS does not decode
    segmentation = {
        "encoded": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        "format": tfds.features.Text(),
    }
    return tfds.features.FeaturesDict(
        {
            "image": {
                "encoded": image,
                "filename": tfds.features.Text(),
                "format": tfds.features.Text(),
                "height": number,
                "width": number,
                "channels": number,
                "segmentation": {"class": segmentation},
            }
        }
    )
