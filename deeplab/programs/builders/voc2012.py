"""Builds TFRecord shards of PASCAL VOC 2012, with the flags of the original script.

    deeplab build voc2012 --image_folder=VOCdevkit/VOC2012/JPEGImages \\
        --semantic_segmentation_folder=VOCdevkit/VOC2012/SegmentationClass \\
        --list_folder=VOCdevkit/VOC2012/ImageSets/Segmentation --output_dir=tfrecord

Every *.txt in --list_folder is a split. Palette labels are read as indices, so there is no colour map to remove. With
--augmented_folder (SegmentationClassAug) the split train_aug is built from its list. Without a list it holds all labels
of that folder that are not in val.
"""

import dataclasses
import os

from deeplab import cli
from deeplab.config.builders import BuildConfig
from deeplab.config.options import option, require
from deeplab.data.building import listing
from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.programs.builders import published

TRAIN_AUG = "train_aug"


@dataclasses.dataclass(frozen=True)
class VocConfig(BuildConfig):
    """Where PASCAL VOC 2012 is"""

    image_folder: str = option("./VOCdevkit/VOC2012/JPEGImages", "Folder of the images.")
    semantic_segmentation_folder: str = option(
        "./VOCdevkit/VOC2012/SegmentationClassRaw", "Folder of the labels: indices, or palette as distributed."
    )
    list_folder: str = option("./VOCdevkit/VOC2012/ImageSets/Segmentation", "Folder of the lists, one per split.")
    image_format: str = option("jpg", "Extension of the images: jpg, jpeg or png. Other files are left out.")
    augmented_folder: str | None = option(
        None, "SegmentationClassAug: 10,582 training labels, for the split train_aug."
    )

    def check(self):
        super().check()
        formats = ("jpg", "jpeg", "png")
        require(self.image_format in formats, "image_format", self.image_format, f"one of {', '.join(formats)}")


def build_voc2012_data(config):
    """Builds all splits that `config` (a `VocConfig`) names."""
    extensions = (f".{config.image_format}",)
    images = listing.files_by_name(config.image_folder, "image_folder", extensions=extensions)
    labels = listing.files_by_name(config.semantic_segmentation_folder, "semantic_segmentation_folder")
    augmented = config.augmented_folder and listing.files_by_name(config.augmented_folder, "augmented_folder")
    _, _, found = next(iter(paths.walk(config.list_folder)), ("", [], []))
    lists = sorted(os.path.join(config.list_folder, name) for name in found if name.endswith(".txt"))
    if not lists:
        raise UserError(f"--list_folder={config.list_folder}: holds no *.txt lists")
    names = {os.path.splitext(os.path.basename(path))[0]: listing.read_list(path) for path in lists}
    if augmented and TRAIN_AUG not in names:
        names[TRAIN_AUG] = sorted(set(augmented) - set(names.get("val", ())))
    splits = {
        split: listing.listed_pairs(members, images, augmented if augmented and split == TRAIN_AUG else labels)
        for split, members in names.items()
    }
    published.build("pascal_voc_seg", splits, config, label_format="palette")


def main():
    cli.main(build_voc2012_data, VocConfig)
