"""Builds TFRecord shards of CamVid with 11 classes, in the arrangement of the SegNet tutorial or with lists.

    deeplab build camvid --camvid_root=camvid --output_dir=tfrecord

The splits train, val and test are found as images/SPLIT and labels/SPLIT below the root, or as SPLIT and SPLITannot.
A list SPLIT.txt in the root, of names without extension, chooses and orders the images of a split.
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

SPLITS = ("train", "val", "test")
ARRANGEMENTS = (("images/{}", "labels/{}"), ("{}", "{}annot"))  # folders of images and labels of a split


@dataclasses.dataclass(frozen=True)
class CamvidConfig(BuildConfig):
    """Where CamVid is"""

    camvid_root: str = option("./camvid", "Folder of the images and labels.")


def build_camvid_data(config):
    """Builds every split found below `config.camvid_root`."""
    splits = {split: pairs for split in SPLITS if (pairs := find_pairs(config.camvid_root, split))}
    if not splits:
        raise UserError(
            f"--camvid_root={config.camvid_root}: expected images/train and labels/train, or train and trainannot"
        )
    published.build("camvid", splits, config)


def find_pairs(root, split):
    """Returns the `listing.Pair`s of one split, [] if there are no folders of it."""
    for arrangement in ARRANGEMENTS:
        folders = [os.path.join(root, folder.format(split)) for folder in arrangement]
        if all(map(paths.is_folder, folders)):
            images, labels = (listing.files_by_name(folder, "camvid_root") for folder in folders)
            list_path = os.path.join(root, f"{split}.txt")
            if paths.exists(list_path):
                names = [name.rsplit("/", 1)[-1] for name in listing.read_list(list_path)]
                return listing.listed_pairs(names, images, labels)
            return listing.all_pairs(images, labels)
    return []


def main():
    cli.main(build_camvid_data, CamvidConfig)
