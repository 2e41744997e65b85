"""Finds the pairs of several folders of images and labels, in such a way that their names stay apart.

This module imports nothing heavy, so that the scripts can import it before they know what to do.
"""

import itertools
import os

from deeplab.data.building import listing
from deeplab.errors import UserError
from deeplab.files import paths


def images_and_labels(image_dirs, label_dirs, image_suffix="", label_suffix=""):
    """Returns what `listing.images_and_labels` returns of several pairs of folders together.

    The name of a pair then begins with that part of the path of its image folder in which the folders differ, so that
    files of one name in two folders stay apart: the image x of a/images and b/images is "a/x" and "b/x".

    Raises:
      UserError: there are more folders of one kind than of the other, a folder of images lies in another one, or as
        `listing.images_and_labels`.
    """
    if len(image_dirs) != len(label_dirs):
        raise UserError(
            f"--label_dir={','.join(label_dirs)}: {len(label_dirs)} folders of labels and {len(image_dirs)} of images; "
            "give one for each --image_dir, in the same order"
        )
    images, labels = {}, {}
    for pair, prefix in zip(zip(image_dirs, label_dirs, strict=True), _prefixes(image_dirs), strict=True):
        for found, files in zip(
            (images, labels), listing.images_and_labels(*pair, image_suffix, label_suffix), strict=True
        ):
            found.update({prefix + name: path for name, path in files.items()})
    return images, labels


def _prefixes(folders):
    """Returns for each folder what its path has besides the parts that all paths share, with a slash; "" for one."""
    if len(folders) == 1:
        return [""]
    whole = [listing.normalized(folder if paths.is_remote(folder) else os.path.abspath(folder)) for folder in folders]
    parts = [folder.replace(os.sep, "/").rstrip("/").split("/") for folder in whole]
    for first, second in itertools.permutations(parts, 2):
        if first == second[: len(first)]:
            inner, outer = ("/".join(part) for part in (second, first))
            raise UserError(
                f"--image_dir={','.join(folders)}: {inner} lies in {outer}, so that images would come twice"
            )
    while len({part[0] for part in parts}) == 1:
        parts = [part[1:] for part in parts]
    while len({part[-1] for part in parts}) == 1 and min(map(len, parts)) > 1:
        parts = [part[:-1] for part in parts]
    return ["/".join(part) + "/" for part in parts]
