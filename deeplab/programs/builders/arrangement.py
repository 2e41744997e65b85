"""What the arrangement of a folder says about the images, labels, splits and classes in it."""

import dataclasses
import os

from deeplab.data.building.class_lists import reading
from deeplab.errors import UserError
from deeplab.files import escaping, paths

# Names of folders, in small letters; the first one that exists is taken.
IMAGES = ("images", "image", "imgs", "img", "jpegimages", "photos", "frames", "rgb", "input", "inputs")
LABELS = (
    *("labels", "label", "masks", "mask", "annotations", "segmentationclass", "segmentationclasspng"),
    *("segmentationclassraw", "segmentation", "segmentations", "gt", "ground_truth", "groundtruth", "targets"),
)
SPLITS = ("train", "val", "test")  # names of lists, NAME.txt, or of folders below the images or above them
ALIASES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
LISTS = ("ImageSets/Segmentation", "ImageSets/Main", "ImageSets", "lists", "splits")  # where lists lie, too
EVERYTHING = "default"  # CVAT's only list, which names all images


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
    if not config.says_splits:
        changes["list"] = lists(root)
    others = []
    if not config.class_names and config.num_classes is None and not config.instances_as:
        found = reading.found_in(root)
        changes["class_names"], others = (found or [""])[0], found[1:]
    said = [
        f"--{name}={','.join([value] if isinstance(value, str) else value)}" for name, value in changes.items() if value
    ]
    print(escaping.terminal(f"{root}: taken as {' '.join(said)}"), flush=True)
    if others:
        print(escaping.terminal(f"{root}: not used as lists of classes: {', '.join(others)}"), flush=True)
    return dataclasses.replace(config, **changes)


def class_list(root):
    """Returns the path of the list of classes in a folder, "" if there is none."""
    return (reading.found_in(root) or [""])[0]


def labels_beside_images(root):
    """Returns the folder of labels in a folder that has one of images, too, by their usual names; else ""."""
    return _below(root, LABELS) if _below(root, IMAGES) else ""


def _folders(config):
    """Returns {option: folders} of the images and labels, for the options that are not given."""
    images, labels = _below(config.folder, IMAGES), _below(config.folder, LABELS)
    if not (images or labels or config.image_dir or config.label_dir):
        parts = [os.path.join(config.folder, name) for name in _names(config.folder) if _split_of(name)]
        pairs = [(_below(part, IMAGES), _below(part, LABELS)) for part in parts]
        pairs = [pair for pair in pairs if all(pair)]
        if pairs:  # train/images and train/labels
            return {"image_dir": tuple(pair[0] for pair in pairs), "label_dir": tuple(pair[1] for pair in pairs)}
    found = {"image_dir": images, "label_dir": labels}
    if not any(found.values()):  # side by side
        found = dict.fromkeys(found, config.folder)
    for name, looked_for in (("image_dir", IMAGES), ("label_dir", LABELS)):
        if not found[name] and not getattr(config, name):
            raise UserError(
                f"--folder={config.folder}: has none of the folders {', '.join(looked_for)}; name it by --{name}=DIR"
            )
    return {name: (folder,) for name, folder in found.items() if not getattr(config, name)}


def _names(folder):
    """Returns the names in a folder, sorted; TensorFlow ends those of folders in buckets with a slash."""
    return sorted(name.rstrip("/") for name in paths.listdir(folder))


def _below(root, wanted):
    """Returns the folder below `root` whose name is the first one of `wanted`, whatever its case; "" for none."""
    places = {}
    for name in _names(root):
        places.setdefault(name.lower(), name)
    found = (os.path.join(root, places[name]) for name in wanted if name in places)
    return next((path for path in found if paths.is_folder(path)), "")


def _split_of(name):
    """Returns the split that a folder or list of this name holds, "" for none."""
    name = ALIASES.get(name.lower(), name.lower())
    return name if name in SPLITS else ""


def lists(root):
    """Returns the paths of the lists train.txt, val.txt and test.txt, or of CVAT's default.txt."""
    for place in ("", *LISTS):
        folder = os.path.join(root, place) if place else root
        if not paths.is_folder(folder):
            continue
        names = [name for name in _names(folder) if name.endswith(".txt")]
        found = {_split_of(name.removesuffix(".txt")): name for name in names}
        chosen = [found[split] for split in SPLITS if split in found]
        if not chosen and place and f"{EVERYTHING}.txt" in names:
            chosen = [f"{EVERYTHING}.txt"]
        if chosen:
            return tuple(os.path.join(folder, name) for name in chosen)
    return ()


def split_name(path):
    """Returns the name of the split in a list file: that of the file, but val for valid.txt, train for default.txt."""
    name = os.path.splitext(os.path.basename(path))[0]
    return "train" if name == EVERYTHING else _split_of(name) or name


def by_split_folder(pairs):
    """Returns {split: pairs} of `listing.Pair`s that all lie in folders named as splits; {} if they do not."""
    parts = [pair.name.partition("/") for pair in pairs]
    if not all(slash and _split_of(first) for first, slash, _rest in parts):
        return {}
    splits = {
        name: [pair for pair, part in zip(pairs, parts, strict=True) if _split_of(part[0]) == name] for name in SPLITS
    }
    return {name: members for name, members in splits.items() if members}
