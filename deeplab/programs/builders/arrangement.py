"""What the arrangement of a folder says about the images, labels, splits and classes in it."""

import dataclasses
import os

from deeplab.errors import UserError
from deeplab.files import escaping, paths

IMAGES = ("images", "image", "imgs", "img", "JPEGImages")
LABELS = ("labels", "label", "masks", "mask", "annotations", "SegmentationClass")
SPLITS = ("train", "val", "test")  # names of lists, NAME.txt, or of folders below the images
CLASSES = ("classes.json", "classes.csv", "classes.txt")


def filled(config):
    """Returns a `FolderConfig` whose empty options hold what lies in its `folder`, and prints what was found.

    Raises:
      UserError: there is no such folder, or it has a folder of images and none of labels, or the other way round.
    """
    root = config.folder
    if not root:
        return config
    if not paths.is_folder(root):
        raise UserError(f"--folder={root}: no such folder")
    changes = _folders(config)
    if not (config.list or config.split or config.val_fraction):
        changes["list"] = lists(root)
    if not config.class_names and config.num_classes is None:
        changes["class_names"] = class_list(root)
    said = [
        f"--{name}={','.join([value] if isinstance(value, str) else value)}" for name, value in changes.items() if value
    ]
    print(escaping.terminal(f"{root}: taken as {' '.join(said)}"), flush=True)
    return dataclasses.replace(config, **changes)


def lists(root):
    """Returns the paths of the lists of splits in a folder, as a tuple."""
    return tuple(_existing(root, [f"{name}.txt" for name in SPLITS]))


def class_list(root):
    """Returns the path of the list of classes in a folder, "" if there is none."""
    return next(_existing(root, CLASSES), "")


def labels_beside_images(root):
    """Returns the folder of labels in a folder that has one of images, too, by their usual names; else ""."""
    return next(_existing(root, LABELS), "") if any(_existing(root, IMAGES)) else ""


def _folders(config):
    """Returns {option: folders} of the images and labels, for the options that are not given."""
    found = {
        "image_dir": next(_existing(config.folder, IMAGES), ""),
        "label_dir": next(_existing(config.folder, LABELS), ""),
    }
    if not any(found.values()):  # side by side
        found = dict.fromkeys(found, config.folder)
    for name, looked_for in (("image_dir", IMAGES), ("label_dir", LABELS)):
        if not found[name] and not getattr(config, name):
            raise UserError(
                f"--folder={config.folder}: has none of the folders {', '.join(looked_for)}; name it by --{name}=DIR"
            )
    return {name: (folder,) for name, folder in found.items() if not getattr(config, name)}


def by_split_folder(pairs):
    """Returns {split: pairs} of `listing.Pair`s that all lie in folders named as splits; {} if they do not."""
    parts = [pair.name.partition("/") for pair in pairs]
    if not all(slash and first in SPLITS for first, slash, _rest in parts):
        return {}
    splits = {name: [pair for pair, part in zip(pairs, parts, strict=True) if part[0] == name] for name in SPLITS}
    return {name: members for name, members in splits.items() if members}


def _existing(root, names):
    return (path for path in (os.path.join(root, name) for name in names) if paths.exists(path))
