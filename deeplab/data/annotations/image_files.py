"""Finds the images that annotations name, whose paths are often those of another computer."""

import collections
import os
import re
import urllib.parse

from deeplab.data.building import listing
from deeplab.errors import UserError
from deeplab.files import paths

FOLDERS = ("images", "image", "imgs", "img", "JPEGImages", "data")  # parts of a path that say nothing
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file


def split_of(name):
    """Returns "train", "val" or "test" if a name contains such a word ("instances_train2017", "valid"), else ""."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((split for word in words for split, known in _SPLIT_WORDS.items() if word in known), "")


class ImageFiles:
    """The images in a folder and below it, and in further folders."""

    def __init__(self, root, more=()):
        self.root = root
        self.paths = {}  # {path as it is compared: path}
        self.by_name = collections.defaultdict(list)
        for folder in dict.fromkeys((root, *more)):
            for directory, folders, names in paths.walk(folder):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(names):
                    if os.path.splitext(name)[1].lower() in listing.SUFFIXES and not name.startswith("."):
                        self._add(os.path.join(directory, name), name)

    def _add(self, path, name):
        key = self._key(path)
        if key not in self.paths:
            self.paths[key] = path
            self.by_name[listing.normalized(name).casefold()].append(path)

    @staticmethod
    def _key(path):
        return listing.normalized(os.path.normpath(path)).replace(os.sep, "/")

    def find(self, name, near):
        """Returns the path of the image that annotations call `name`, or None.

        Args:
          name: a path, perhaps of Windows or of another computer, or an address.
          near: the folders in which it is looked for first.

        Raises:
          UserError: only the last part of the name fits, and it fits several images.
        """
        name = urllib.parse.unquote(name.split("?d=")[-1]) if "%" in name or "?d=" in name else name
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        for start in range(len(parts)):
            for folder in (*near, self.root):
                found = self.paths.get(self._key(os.path.join(folder, *parts[start:])))
                if found:
                    return found
        last = listing.normalized(parts[-1]).casefold() if parts else ""
        same = self.by_name.get(last) or self.by_name.get(_UPLOADED.sub("", last)) or []
        if len(same) > 1:
            raise UserError(f"{name}: {same[0]} and {same[1]} both have this name; leave one of them out")
        return same[0] if same else None

    def record_name(self, path, split=""):
        """Returns the name of the record of an image: its path below the root without what says nothing.

        A split, where there is one, comes first: "train/street/7".
        """
        inside = os.path.relpath(path, self.root)
        inside = os.path.basename(path) if inside.startswith("..") else inside
        *folders, stem = listing.without_extension(inside.replace(os.sep, "/").replace("\\", "/")).split("/")
        folders = [part for part in folders if part not in FOLDERS and not (split and split_of(part) == split)]
        return listing.normalized("/".join([split] * bool(split) + folders + [stem]))

    def unused(self, used):
        """Returns how many images are not among the paths `used`."""
        return len(set(self.paths.values()) - set(used))


class Pairs:
    """Collects the images and labels of a `found.Found`; no two may have one name."""

    def __init__(self):
        self.images, self.labels = {}, {}

    def add(self, name, image, label):
        """Adds an image (a path, `Embedded` or None) and its `Drawing`; raises a UserError if the name is taken."""
        if name in self.labels:
            raise UserError(
                f"{label}: the name {name!r} is that of {self.labels[name]}, too; one image may be annotated once, and "
                "images of one name must have different folders"
            )
        self.images[name], self.labels[name] = image, label
