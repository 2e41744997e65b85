"""What a path, or the name of a published model, stands for: a checkpoint, or an export and its format."""

import os
import sys
from typing import NamedTuple

import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.config.presets import MODELS
from deeplab.config.published import files
from deeplab.errors import UserError, one_line
from deeplab.exporting.formats import frozen_graph, onnx, openvino, tflite
from deeplab.files import manifest, nearest
from deeplab.inference import export_folder
from deeplab.training import run_folder

CHECKPOINT, SAVED_MODEL = "checkpoint", "saved_model"
_KINDS = {  # {file of an export: its format}
    export_folder.GRAPH_FILE: SAVED_MODEL,
    frozen_graph.FILE: "frozen_graph",
    tflite.FILE: "tflite",
    onnx.FILE: "onnx",
    **dict.fromkeys(openvino.FILES, "openvino"),
}
_ONLY_EXPORTS = (".onnx", ".xml", ".bin")  # other endings may be weights of the original
_ADDRESSES = ("http://", "https://", files.SCHEME)
TAKEN = (
    "a train_logdir, a folder or file that deeplab.export wrote, a checkpoint or archive of the original, or the name "
    "of a published model (deeplab.MODELS)"
)


class Place(NamedTuple):
    """Where a network is stored.

    Attributes:
      kind: CHECKPOINT, or the format of an export as in --format.
      path: what --checkpoint_dir takes, or the folder of one version of an export.
    """

    kind: str
    path: str


def find(source):
    """Returns the `Place` that `source`, a path or a name, stands for.

    Raises:
      UserError: there is nothing of that name, or nothing in it is a network.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise UserError(f"{one_line(repr(source), 100)}: expected {TAKEN}, not {type(source).__name__}")
    path = os.fspath(source)
    if path.startswith(_ADDRESSES):
        return Place(CHECKPOINT, path)
    try:
        if tf.io.gfile.isdir(path):
            return _in_folder(path)
        if tf.io.gfile.exists(path):
            return _of_file(path)
        if tf.io.gfile.exists(f"{path}.index"):
            return Place(CHECKPOINT, path)
    except tf.errors.UnimplementedError as error:
        raise unknown_scheme(path, error) from None
    if path in MODELS:
        return Place(CHECKPOINT, files.SCHEME + path)
    hint = nearest.hint(path, MODELS) or f"; expected {TAKEN}"
    raise UserError(f"{path}: no such file or folder, and no published model of that name{hint}")


def unknown_scheme(path, error):
    """Returns the `UserError` for a path whose scheme TensorFlow does not know."""
    return UserError(f"{path}: {one_line(error.message, 200)}; expected {TAKEN}")


def _of_file(path):
    """Returns the `Place` of a file: a part of an export, or weights."""
    folder, _, name = path.rpartition("/")
    kind = _KINDS.get(name)
    if kind == SAVED_MODEL or (kind and tf.io.gfile.exists(tf.io.gfile.join(folder, export_folder.CARD_FILE))):
        return Place(kind, folder or ".")
    if path.endswith(_ONLY_EXPORTS):
        raise UserError(
            f"{path}: {export_folder.CARD_FILE} does not lie beside it, so nobody knows its classes; load the whole "
            "folder DIR/VERSION that deeplab.export wrote"
        )
    return Place(CHECKPOINT, path)


def _in_folder(path):
    """Returns the `Place` of a folder: a training, weights, an export_path or one version in it."""
    if run_folder.is_configured(run_folder.of(path)) or bundle.latest(path) or bundle.named_in_state(path):
        return Place(CHECKPOINT, path)
    problems = []
    for version in export_folder.candidates(path):
        kind = next((kind for file, kind in _KINDS.items() if tf.io.gfile.exists(f"{version.path}/{file}")), None)
        problem = _lacks(version.path, kind)
        if not problem:
            for newer in problems:
                print(f"warning: {newer}", file=sys.stderr, flush=True)
            return Place(kind, version.path)
        problems.append(f"{version.path} is not whole: {problem}")
    found = f"{problems[0]}; copy it again" if problems else f"{path}: holds no network; expected {TAKEN}"
    raise UserError(found)


def _lacks(path, kind):
    """Returns in words what an export of a format lacks, or "" if no file is known to be missing."""
    if kind is None:
        return f"it holds none of {', '.join(_KINDS)}"
    if kind == SAVED_MODEL:
        return export_folder.lacks(path)
    try:
        files = export_folder.recorded_files(path)
        if files is None and not tf.io.gfile.exists(f"{path}/{export_folder.CARD_FILE}"):
            return f"{export_folder.CARD_FILE} is missing"
        return manifest.difference(path, files) if files is not None else ""
    except (UserError, tf.errors.OpError) as error:
        return one_line(error, 200)
