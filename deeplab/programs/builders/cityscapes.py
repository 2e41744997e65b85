"""Builds TFRecord shards of Cityscapes, straight from leftImg8bit and gtFine (or gtCoarse).

    deeplab build cityscapes --cityscapes_root=cityscapes --output_dir=tfrecord

Label ids (*_labelIds.png) become train ids here. If the Cityscapes scripts have made *_labelTrainIds.png, those are
read instead. The splits have the names of the reference: train_fine, val_fine, and with gtCoarse train_coarse.
"""

import dataclasses
import os

from deeplab import cli
from deeplab.config.builders import BuildConfig
from deeplab.config.options import option
from deeplab.data.building import listing
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.programs.builders import published

IMAGE_SUFFIX = "_leftImg8bit"
PARTS = {"fine": ("gtFine", ("train", "val")), "coarse": ("gtCoarse", ("train", "train_extra"))}
MERGED = {"train_extra": "train"}  # reference: train_coarse is train and train_extra together (22,973)


@dataclasses.dataclass(frozen=True)
class CityscapesConfig(BuildConfig):
    """Where Cityscapes is"""

    cityscapes_root: str = option("./cityscapes", "Folder with leftImg8bit and gtFine, gtCoarse or both.")
    num_shards: int = option(10, "Files per split.")


def build_cityscapes_data(config):
    """Builds every split whose folders exist below `config.cityscapes_root`."""
    splits, raw_id_splits = {}, []
    for kind, (ground_truth, folders) in PARTS.items():
        for folder in folders:
            pairs, suffix = find_pairs(config.cityscapes_root, ground_truth, folder)
            split = f"{MERGED.get(folder, folder)}_{kind}"
            if pairs:
                splits[split] = splits.get(split, []) + pairs
                raw_id_splits += [] if suffix.endswith("TrainIds") else [split]
    if not splits:
        raise UserError(
            f"--cityscapes_root={config.cityscapes_root}: expected leftImg8bit/train and gtFine/train, or gtCoarse"
        )
    published.build("cityscapes", splits, config, raw_id_splits=raw_id_splits)


def find_pairs(root, ground_truth, folder):
    """Returns ([`listing.Pair`], suffix of the labels) of one folder, e.g. gtFine/train; ([], "") if there is none."""
    images_folder, labels_folder = (os.path.join(root, kind, folder) for kind in ("leftImg8bit", ground_truth))
    if not paths.is_folder(labels_folder):
        return [], ""
    images = listing.files_by_name(images_folder, "cityscapes_root", IMAGE_SUFFIX)
    for suffix in (f"_{ground_truth}_labelTrainIds", f"_{ground_truth}_labelIds"):
        try:
            return listing.all_pairs(images, listing.files_by_name(labels_folder, "cityscapes_root", suffix)), suffix
        except UserError as error:
            missing = error
    raise missing


def main():
    cli.main(build_cityscapes_data, CityscapesConfig)
