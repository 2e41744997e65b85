"""Finds the images and labels of a `FolderConfig`, and says where it had to guess which belong together."""

import os

from deeplab.data.building import folders
from deeplab.data.building.masks import instances, pairing
from deeplab.errors import UserError
from deeplab.files import escaping


def find(config):
    """Returns ({name: image path}, {name: label path}); a label may be a folder of masks of single objects.

    Raises:
      UserError: as `folders.images_and_labels`, where names differ by more than words such as "mask".
    """
    if config.folder and config.image_dir == config.label_dir == (config.folder,):
        images, labels = instances.object_folders(config.folder)
        if images:
            print(escaping.terminal(f"{config.folder}: folders with an image and the masks of its objects"), flush=True)
            return images, labels
    try:
        return folders.images_and_labels(config.image_dir, config.label_dir, config.image_suffix, config.label_suffix)
    except UserError:
        images, labels = _guessed(config)
        if not labels:
            raise
    return images, labels


def _guessed(config):
    """Returns what `find` returns of one pair of folders without suffixes, by folders of objects or by words."""
    single = len(config.image_dir) == len(config.label_dir) == 1
    if not single or config.image_suffix or config.label_suffix or not os.path.isdir(config.image_dir[0]):
        return {}, {}
    image_dir, label_dir = config.image_dir[0], config.label_dir[0]
    if image_dir != label_dir and os.path.isdir(label_dir):
        images = pairing.by_name(image_dir)
        labels = instances.folders_named_as(images, label_dir)
        if labels:
            print(
                escaping.terminal(f"{label_dir}: folders with the masks of the objects of one image each"), flush=True
            )
            return images, labels
    if not config.folder:
        return {}, {}
    images, labels = pairing.by_words(image_dir, label_dir)
    if labels:
        name = next(name for name in images if name in labels)
        told = f"{images[name]} and {labels[name]}, and the others by the same words"
        print(escaping.terminal(f"taken as pairs: {told}"), flush=True)
    return images, labels
