"""Finds the files that --input of predict means, and the folder below the output that each of them belongs to."""

import collections
import os
import posixpath
from typing import NamedTuple

import tensorflow as tf

from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.inference import output_folder
from deeplab.pictures import images, video

SUFFIXES = images.SUFFIXES + video.SUFFIXES
_MOST_KINDS = 5  # of other files, that a message lists


class Found(NamedTuple):
    """What --input means.

    Attributes:
      files: a sorted list of `output_folder.InputFile`.
      notes: list of sentences about what was left out.
      problems: list of sentences about folders that could not be searched. They count as inputs that failed.
    """

    files: list[output_folder.InputFile]
    notes: list[str]
    problems: list[str] = []


def find(pattern, output):
    """Returns the `Found` of a file, a folder, or a pattern such as photos/*.jpg.

    A folder is searched with all folders below it, and links are followed. Hidden files and folders are left out: macOS
    puts a ._NAME.jpg, which is no image, beside NAME.jpg. Folders that hold results of predict are left out, too, and
    so is the folder `output`.

    Raises:
      UserError: there is no such file, or the folder itself cannot be searched.
    """
    if paths.is_folder(pattern):
        return _in_folder(pattern, output)
    if paths.exists(pattern):
        return Found([output_folder.InputFile(pattern)], [])
    matches = sorted(tf.io.gfile.glob(pattern))
    folders = [path for path in matches if tf.io.gfile.isdir(path)]
    files = [output_folder.InputFile(path) for path in matches if path not in set(folders)]
    if not files:
        hint = f"; it matches folders, give one of them: --input={folders[0]}" if folders else ""
        raise UserError(f"--input={pattern}: no such file or folder, and no file matches it as a pattern{hint}")
    return Found(files, _note(folders, "folder that matches the pattern", "folders that match the pattern"))


def _in_folder(root, output):
    """Returns the `Found` of a folder."""
    search = _Search(root, output)
    if not search.files:
        others = f"; it has {_kinds(search.others)}" if search.others else ""
        raise UserError(f"--input={root}: no image in the folder or below it ({', '.join(SUFFIXES)}){others}")
    kinds = f" ({_kinds(search.others)})"
    notes = [
        *_note(search.others, f"file of another kind{kinds}", f"files of other kinds{kinds}"),
        *_note(search.results, "folder with results of predict", "folders with results of predict"),
        *_note(search.known, "link to a folder that is searched anyway", "links to folders that are searched anyway"),
    ]
    return Found(sorted(search.files), notes, search.problems)


class _Search:
    """Searches a folder and all folders below it. Every folder is searched once, however many links lead to it.

    Attributes:
      files: the `InputFile`s.
      others: paths of the files that are neither images nor videos.
      results: paths of folders that are left out because they hold results of other runs of predict.
      known: paths of links to folders that are searched without these links, or that hold the link itself.
      problems: sentences about folders below the root that cannot be searched.
    """

    def __init__(self, root, output):
        self.files, self.others, self.results, self.known, self.problems = [], [], [], [], []
        self._root, self._searched = root, {output_folder.absolute(output)} - {output_folder.absolute(root)}
        # Links wait until the folders themselves are searched, so that results bear the names of the folders.
        self._folders, self._links = [""], []
        while self._folders or self._links:
            if self._folders:
                self._enter(self._folders.pop())
            else:
                self._follow(self._links.pop(0))

    def _follow(self, inside):
        """Searches a folder that a link leads to, unless that is done or the link leads back up."""
        path = self._path(inside)
        target, place = output_folder.absolute(path), output_folder.absolute(posixpath.dirname(path))
        if target in self._searched or f"{place}/".startswith(f"{target.rstrip('/')}/"):
            self.known.append(path)
        else:
            self._enter(inside)

    def _enter(self, inside):
        """Searches the folder `inside`, a path below the root."""
        folder = self._path(inside)
        if output_folder.absolute(folder) in self._searched:
            return
        self._searched.add(output_folder.absolute(folder))
        try:
            entries = _entries(folder)
        except UserError as error:
            if not inside:
                raise
            self.problems.append(str(error))
            return
        if inside and output_folder.FILE in (name for name, _is_folder, _is_link in entries):
            self.results.append(folder)
            return
        for name, is_folder, is_link in entries:
            if name.startswith("."):
                continue
            if is_folder:
                (self._links if is_link else self._folders).append(posixpath.join(inside, name))
            elif name.lower().endswith(SUFFIXES):
                self.files.append(output_folder.InputFile(posixpath.join(folder, name), inside))
            else:
                self.others.append(posixpath.join(folder, name))

    def _path(self, inside):
        return posixpath.join(self._root, inside) if inside else self._root


def _entries(folder):
    """Returns a sorted list of (name, is it a folder, is it a link) of what lies in a folder."""
    try:
        if not paths.is_remote(folder):
            with os.scandir(folder) as entries:
                return sorted((entry.name, _is_folder(entry), entry.is_symlink()) for entry in entries)
        # gs:// marks folders by a slash. To ask for the kind of every image would take a request each.
        names = tf.io.gfile.listdir(folder)
        return sorted(
            (name.rstrip("/"), name.endswith("/") or _is_remote_folder(folder, name), False) for name in names
        )
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(
            f"{folder}: cannot be searched for images ({reason}); allow it, or name another --input"
        ) from None


def _is_folder(entry):
    """Tells whether an entry of a folder is a folder, or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_remote_folder(folder, name):
    return not name.lower().endswith(SUFFIXES) and tf.io.gfile.isdir(posixpath.join(folder, name))


def _note(left_out, one, many):
    """Returns a list with a sentence about the paths that were left out, or an empty list if there are none."""
    if not left_out:
        return []
    return [f"left out {len(left_out)} {one if len(left_out) == 1 else many}, for example {left_out[0]}"]


def _kinds(files):
    """Returns text that counts files by the ends of their names: "2 .heic, 1 .txt"."""
    counts = collections.Counter(posixpath.splitext(path)[1].lower() or "without extension" for path in files)
    shown = [f"{count} {kind}" for kind, count in counts.most_common(_MOST_KINDS)]
    return ", ".join(shown) + (", ..." if len(counts) > _MOST_KINDS else "")
