"""Builds TFRecord shards of ADE20K (scene parsing, 150 classes and "other"), with the flags of the original script.

    deeplab build ade20k --train_image_folder=ADEChallengeData2016/images/training \\
        --train_image_label_folder=ADEChallengeData2016/annotations/training \\
        --val_image_folder=ADEChallengeData2016/images/validation \\
        --val_image_label_folder=ADEChallengeData2016/annotations/validation --output_dir=tfrecord

As in the reference, the images are shuffled before the shards are filled. Label 0 stays in the labels and is ignored.
"""

import dataclasses
import random

from deeplab import cli
from deeplab.config.builders import BuildConfig
from deeplab.config.options import option
from deeplab.data.building import listing
from deeplab.programs.builders import published

_ROOT = "./ADE20K/ADEChallengeData2016"


@dataclasses.dataclass(frozen=True)
class AdeConfig(BuildConfig):
    """Where ADE20K is"""

    train_image_folder: str = option(f"{_ROOT}/images/training", "Training images.")
    train_image_label_folder: str = option(f"{_ROOT}/annotations/training", "Training labels.")
    val_image_folder: str = option(f"{_ROOT}/images/validation", "Validation images.")
    val_image_label_folder: str = option(f"{_ROOT}/annotations/validation", "Validation labels.")
    seed: int = option(0, "Seed of the shuffled order.")


def build_ade20k_data(config):
    """Builds the splits train and val of `config` (an `AdeConfig`)."""
    splits = {}
    for split in ("train", "val"):
        folders = [f"{split}_image_folder", f"{split}_image_label_folder"]
        images, labels = (listing.files_by_name(getattr(config, flag), flag) for flag in folders)
        splits[split] = listing.all_pairs(images, labels)
        random.Random(config.seed).shuffle(splits[split])
    published.build("ade20k", splits, config)


def main():
    cli.main(build_ade20k_data, AdeConfig)
