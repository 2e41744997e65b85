"""Finds the files of a data set: pairs of equal names, and lists of names.

This module imports nothing heavy, so that the scripts can import it before they know what to do.
"""

import collections
import os
import re
import unicodedata
from typing import NamedTuple

from deeplab.errors import UserError
from deeplab.files import escaping, paths

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_ENDING = re.compile(r"[_\-. ]?[A-Za-z]+$")  # what a file name may add to the name of the pair: "_mask", "-rgb"


class Pair(NamedTuple):
    """An image file and its label file, None where one of them is missing, and the name of both, without extension.

    In place of a path may stand an object that a worker process gets: an image with `read`, a label with `draw`, as in
    `deeplab.data.annotations`; as text it says where it comes from.
    """

    name: str
    image: str | None
    label: str | None


def files_by_name(folder, flag, suffix="", extensions=SUFFIXES):
    """Returns {path below `folder` without extension: path} of all images in it, sorted, without hidden files.

    Args:
      folder: searched with all folders below.
      flag: the flag that names the folder, for messages.
      suffix: what the names of these files end with before the extension, e.g. "_mask"; it is removed from the keys.
      extensions: which files are images.

    Raises:
      UserError: there is no such folder, no such file in it, or there are two files of one name.
    """
    if not paths.is_folder(folder):
        raise UserError(f"--{flag}={folder}: no such folder")
    found = _files(folder, flag, suffix, extensions=extensions)
    if not found:
        ending = f" whose names end in {suffix!r}" if suffix else ""
        others = other_files(folder, extensions)
        others = f"; it has {others}" if others else ""
        raise UserError(f"--{flag}={folder}: holds no {', '.join(extensions)} files{ending}{others}")
    return found


def holds_images(folder):
    """Tells whether there is an image in a folder or below it."""
    return any(name.lower().endswith(SUFFIXES) for _, _, names in paths.walk(folder) for name in names)


def other_files(folder, extensions=SUFFIXES):
    """Returns text that counts the other files below a folder, but for hidden ones: "2 .heic, 1 .txt"."""
    names = [name for _, _, names in paths.walk(folder) for name in names if not name.startswith(".")]
    found = collections.Counter(os.path.splitext(name)[1].lower() for name in names)
    counts = sorted((-count, kind) for kind, count in found.items() if kind not in extensions)
    kinds = [f"{-count} {kind or 'without extension'}" for count, kind in counts]
    return escaping.terminal(", ".join(kinds[:5]))


def image_files(folder):
    """Returns the paths of all images in a folder and below, sorted, without hidden files."""
    found = []
    for directory, folders, names in paths.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(directory, name) for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if os.path.splitext(path)[1].lower() in SUFFIXES]


def _files(folder, flag, suffix, without=(), extensions=SUFFIXES):
    """Returns what `files_by_name` returns, but without the paths in `without`; {} if there are no such files."""
    found = {}
    for directory, folders, names in _walk(folder, flag):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            stem, extension = os.path.splitext(name)
            path = os.path.join(directory, name)
            if name.startswith(".") or extension.lower() not in extensions or not stem.endswith(suffix):
                continue
            if path in without:
                continue
            key = os.path.relpath(os.path.join(directory, stem[: len(stem) - len(suffix)]), folder)
            key = normalized(key.replace(os.sep, "/"))
            if key in found:
                raise UserError(f"--{flag}={folder}: {found[key]} and {path} have one name: remove one of them")
            found[key] = path
    return found


def _walk(folder, flag):
    """Yields what `paths.walk` yields; a folder that cannot be searched is a UserError, as its files would miss."""
    try:
        yield from paths.walk(folder)
    except OSError as error:
        raise UserError(
            f"--{flag}={folder}: {error.filename} cannot be searched ({error.strerror}); allow it or move it away"
        ) from None


def images_and_labels(image_dir, label_dir, image_suffix="", label_suffix=""):
    """Returns ({name: image path}, {name: label path}) of two folders, or of one that holds both.

    In a folder that holds both, labels are the files that end with `label_suffix`, or the PNGs if there is no suffix.
    The other files are images.

    Raises:
      UserError: as `files_by_name`; or no image has a label of its name, in which case suffix flags are suggested.
    """
    one = os.path.realpath(image_dir) == os.path.realpath(label_dir)
    labels = files_by_name(label_dir, "label_dir", label_suffix, (".png",) if one and not label_suffix else SUFFIXES)
    if one:
        images = _files(image_dir, "image_dir", image_suffix, set(labels.values()))
    else:
        images = files_by_name(image_dir, "image_dir", image_suffix)
    if not any(pair.image and pair.label for pair in all_pairs(images, labels)):
        if one:
            images = labels = {**images, **labels}
        raise UserError(
            f"--label_dir={label_dir}: no label has the name of an image. Images are named {_some(images)}, labels "
            f"{_some(labels)}. {_suffix_hint(images, labels)}"
        )
    return images, labels


def _some(names):
    return ", ".join(repr(name) for name in sorted(names)[-2:])


def _suffix_hint(images, labels):
    """Returns advice: the suffix flags that would give the most pairs."""
    endings = collections.Counter()
    bases = {}
    for name in images:
        for base, ending in {(name, ""), _split(name)}:
            bases.setdefault(base, []).append(ending)
    for name in labels:
        for base, ending in {(name, ""), _split(name)}:
            endings.update((other, ending) for other in bases.get(base, ()) if other != ending)
    first, second = max(endings, key=lambda pair: (endings[pair], not pair[0]), default=("", ""))
    if 3 * endings[first, second] < min(len(images), len(labels)):
        return "Give both the same names, or say what they end in: --image_suffix, --label_suffix"
    given = [f"--{kind}_suffix={ending}" for kind, ending in (("image", first), ("label", second)) if ending]
    return f"Try {' '.join(given)}"


def _split(name):
    """Returns (base, ending): "a/1_mask" -> ("a/1", "_mask")."""
    ending = _ENDING.search(name)
    at = ending.start() if ending else len(name)
    return name[:at], name[at:]


def read_list(path):
    """Returns the names in a list file, one per line, without surrounding spaces and extension."""
    return [without_extension(line) for line in read_lines(path) if not line.startswith("#")]


def read_lines(path):
    """Returns the lines of a list file in Unicode form NFC, without surrounding spaces, and without empty ones.

    The file may be in UTF-8 or UTF-16, with a byte order mark or, in UTF-8, without one.
    """
    try:
        content = paths.read(path)
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        lines = [normalized(line.strip()) for line in content.decode(encoding).splitlines()]
    except (OSError, UnicodeError) as error:
        raise UserError(f"list {path}: cannot be read: {error}") from None
    lines = [line for line in lines if line]
    if all(line.startswith("#") for line in lines):
        raise UserError(f"list {path}: names no images")
    return lines


def normalized(name):
    """Returns a name in Unicode form NFC: macOS writes a letter and its accent as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def without_extension(name):
    """Returns the name without the extension of an image file, if it has one."""
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in SUFFIXES else name


def listed_pairs(names, images, labels):
    """Returns a `Pair` for each name of a list. Files that do not exist are None; the builder reports them.

    Args:
      names: for each pair the path below the folder, or only the last part of it, without extension.
      images, labels: from `files_by_name`.
    """
    finders = [finder(images), finder(labels)]
    return [Pair(name, *(find(name) for find in finders)) for name in names]


def finder(files):
    """Returns a function from a name, or only its last part where that is enough, to the path of {name: path}."""
    by_last_part = {}
    for key, path in files.items():
        by_last_part.setdefault(key.rsplit("/", 1)[-1], []).append(path)

    def find(name):
        if name in files:
            return files[name]
        same = by_last_part.get(name.rsplit("/", 1)[-1], [])
        return same[0] if len(same) == 1 else None

    return find


def all_pairs(images, labels):
    """Returns a `Pair` for every name that occurs among the images or the labels, sorted by name."""
    pairs = listed_pairs(sorted(images), images, labels)
    used = {pair.label for pair in pairs}
    return pairs + [Pair(key, None, path) for key, path in sorted(labels.items()) if path not in used]
