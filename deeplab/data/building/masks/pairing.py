"""Finds which label belongs to which image where their names differ by a word, such as img2d.tif and mask2d.tif."""

import os
import re

from deeplab.data.building import listing

LABEL_WORDS = {
    *("mask", "masks", "label", "labels", "gt", "seg", "segmentation", "annotation", "groundtruth", "target", "msk"),
    *("lbl", "anno", "labelids", "matte", "mat"),
}
IMAGE_WORDS = {
    "img",
    "image",
    "images",
    "rgb",
    "photo",
    "input",
    "raw",
    "im",
    "sat",
    "pic",
    "picture",
    "frame",
    "slice",
}
_BETWEEN = re.compile(r"[_\-. ]+|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")


def by_words(image_dir, label_dir):
    """Returns ({name: image path}, {name: label path}) of two folders, or of one that holds both; ({}, {}) for none.

    Names are compared without the words that tell images from labels. In a folder that holds both, a label is what has
    such a word. The name of a pair is that of its image. Nothing is found if two files would have one name.
    """
    one = os.path.realpath(image_dir) == os.path.realpath(label_dir)
    images, labels = _stems(image_dir), _stems(label_dir)
    if one:
        labels = {path: name for path, name in labels.items() if _words(name) & LABEL_WORDS}
        images = {path: name for path, name in images.items() if path not in labels}
    image_of = {_key(name, IMAGE_WORDS): path for path, name in images.items()}
    label_of = {_key(name, LABEL_WORDS | IMAGE_WORDS): path for path, name in labels.items()}
    if len(image_of) < len(images) or len(label_of) < len(labels) or not image_of.keys() & label_of.keys():
        return {}, {}
    names = {key: images[path] for key, path in image_of.items()}
    found = {names[key]: path for key, path in image_of.items()}
    return found, {names.get(key, labels[path]): path for key, path in label_of.items()}


def by_name(folder):
    """Returns {name below the folder without extension: path} of the images in a folder."""
    return {name: path for path, name in _stems(folder).items()}


def _stems(folder):
    """Returns {path: name below the folder without extension} of the images in a folder."""
    found = {}
    for path in listing.image_files(folder):
        stem = os.path.splitext(os.path.relpath(path, folder))[0]
        found[path] = listing.normalized(stem.replace(os.sep, "/"))
    return found


def _words(name):
    return {word.lower() for word in _BETWEEN.split(name.rsplit("/", 1)[-1])}


def _key(name, without):
    """Returns the folder and the words of a name, but for those in `without`."""
    folder, _slash, last = name.rpartition("/")
    return folder, tuple(word for word in _BETWEEN.split(last) if word and word.lower() not in without)
