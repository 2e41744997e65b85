"""The folder that exports are written to: its versions, which of them are whole, and the card of a version.

`python -m deeplab.export` writes SavedModels to DIR/1, DIR/2 and so on, which is the layout of TensorFlow Serving.
Beside the graph of a version lie model.json, the card that says what the network is, and dataset.json.
"""

import sys
from typing import NamedTuple

import tensorflow as tf

from deeplab.data import catalog
from deeplab.errors import UserError, one_line
from deeplab.files import formats, manifest
from deeplab.inference.saved_models.loading import GRAPH_FILE
from deeplab.training import run_folder

CARD_FILE = "model.json"
_SIZE = (None, formats.is_size)
CARD = formats.Kind(
    "the card of an export",
    "write it with python -m deeplab.export",
    needed=(
        "config",
        "classes",
        "checkpoint",
        "step",
        "crop_size",
        "inference_scales",
        "add_flipped_images",
        "resize",
    ),
    others=(
        *("colors", "score", "multiply_adds", "multiply_adds_size", "versions", "input_size", "tf32"),
        *("precision", "precision_reason", "quantize", "files", "weights_from", "source_ids", "source_colors"),
        *run_folder.RANGE,
    ),
    types={
        **{"config": {"model_variant": str, "output_stride": int}, "classes": [str], "colors": (None, [[int]])},
        **{
            "checkpoint": str,
            "step": (None, int),
            "crop_size": _SIZE,
            "inference_scales": [float],
            "add_flipped_images": bool,
        },
        "resize": dict.fromkeys(("min_resize_value", "max_resize_value", "resize_factor"), (None, float)),
        "input_size": (None, {"rule": str, "trained_size": _SIZE, "fit_into": _SIZE, "longer_than": int}),
        "files": {str: {manifest.SIZE: int, manifest.HASH: str}},
        "weights_from": (None, run_folder.ORIGIN),
        **{"source_ids": (None, [int]), "source_colors": (None, [[int]])},
        **run_folder.RANGE,
        **{"multiply_adds": (None, float), "multiply_adds_size": formats.is_size, "score": (None, dict)},
    },
)


class Version(NamedTuple):
    """A SavedModel on disk: its folder, its version number, and the `manifest.stamp` of its files where it matters."""

    path: str
    number: int
    stamp: tuple = ()


def versions(folder):
    """Returns the version numbers in a folder, oldest first; [] if there is no such folder."""
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)] if tf.io.gfile.isdir(folder) else []
    return sorted(int(name) for name in names if name.isdecimal())


def following(folder):
    """Returns the path of the version after the newest one in a folder, or of version 1."""
    return tf.io.gfile.join(folder.rstrip("/") or "/", str(max(versions(folder), default=0) + 1))


def next_path(folder):
    """Creates the folder, and returns the path of its next version, as `following`."""
    tf.io.gfile.makedirs(folder)
    return following(folder)


def newest(folder):
    """Returns the newest whole `Version` in an --export_path, or the one that the folder itself is; None without any.

    A version that lacks something does not count: perhaps it is still being copied.
    """
    return next((version for version in candidates(folder) if not lacks(version.path)), None)


def candidates(folder):
    """Yields the `Version` that a folder itself is, if it holds anything of one, and those in it, the newest first."""
    folder = folder.rstrip("/") or "/"
    name = folder.rpartition("/")[2]
    if any(tf.io.gfile.exists(tf.io.gfile.join(folder, file)) for file in (GRAPH_FILE, CARD_FILE, catalog.FILE)):
        yield Version(folder, int(name) if name.isdecimal() else 1)
    for number in reversed(versions(folder)):
        yield Version(tf.io.gfile.join(folder, str(number)), number)


def find(folder):
    """Returns what `newest` returns, and says on stderr which newer versions are not whole.

    Raises:
      UserError: there is no whole version; it says what the newest one lacks.
    """
    for version in candidates(folder):
        problem = lacks(version.path)
        if not problem:
            return version
        print(f"warning: {version.path} is not whole: {problem}", file=sys.stderr, flush=True)
    raise no_version(folder)


def no_version(folder):
    """Returns the UserError that says that a folder has no whole version, and what the newest one lacks."""
    text = f"--saved_model={folder}: no SavedModel there; name an --export_path or DIR/VERSION"
    for version in candidates(folder):
        problem = lacks(version.path)
        if problem:
            text = (
                f"--saved_model={folder}: {version.path} is not whole: {problem}; copy it again, or wait for its copy"
            )
            break
    return UserError(text)


def lacks(path):
    """Returns in words what the SavedModel in the folder `path` lacks, or "" if no file is known to be missing.

    The sizes of the files are compared with those that model.json records. SavedModels of other programs, and exports
    of before, have no record: there, all parts of the variables have to be there.
    """
    if not tf.io.gfile.exists(tf.io.gfile.join(path, GRAPH_FILE)):
        return f"{GRAPH_FILE} is missing"
    try:
        files = recorded_files(path)
        if files is not None:
            if not tf.io.gfile.exists(tf.io.gfile.join(path, catalog.FILE)):
                return f"{catalog.FILE} is missing"
            return manifest.difference(path, files)
    except (UserError, tf.errors.OpError) as error:
        return one_line(error, 200)
    part = manifest.lacking_part(tf.io.gfile.join(path, "variables"))
    return f"variables/{part} is missing" if part else ""


def recorded_files(path):
    """Returns the record of the files of an export in its model.json; None without a record.

    Raises:
      UserError: model.json is damaged, or in a format that this version does not read.
    """
    return read_card(path).get("files") if tf.io.gfile.exists(tf.io.gfile.join(path, CARD_FILE)) else None


def read_card(path):
    """Returns the content of the model.json of a version.

    Raises:
      UserError: there is none, or it is not in the format that this version of the project reads.
    """
    return CARD.read(tf.io.gfile.join(path, CARD_FILE))
