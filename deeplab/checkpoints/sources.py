"""Reads weights: every kind of file becomes {reference name: array}.

These are checkpoints (ours and the reference's have the same format), folders of checkpoints, the published .tar.gz
archives, frozen graphs, .tflite files of the original, .keras files and weights of keras.applications.
"""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from deeplab.checkpoints import archive, bundle, frozen_graph, keras_applications, keras_file, tflite
from deeplab.checkpoints.published import cache
from deeplab.errors import UserError

GLOBAL_STEP = "global_step"
_PARTS_OF_CHECKPOINTS = (".index", ".meta", ".data-00000-of-00001")


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """The content of a file with weights, by the reference's names.

    A convolution whose batch norm was folded into it has its kernel in `values` and its bias in `folded`.
    """

    path: str
    kind: str  # in words
    values: dict[str, np.ndarray]  # by the reference's names of variables
    folded: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # {scope of a convolution: bias (C,)}

    @property
    def step(self):
        """The training step, or None if the file has no training step."""
        return int(self.values[GLOBAL_STEP]) if GLOBAL_STEP in self.values else None


def read(path):
    """Reads the weights in `path`.

    Args:
      path: the prefix of a checkpoint (`.../model.ckpt-30000`); a folder with checkpoints, of which the one is read
        that the state file `checkpoint` names, else the newest; a published .tar.gz archive; a
        frozen_inference_graph.pb; a .tflite made from a graph of the original; a .keras file that `model.save`
        wrote of one of our networks; an .h5 file with weights of keras.applications.MobileNetV2; or preset:NAME or an
        https:// address of such a file, which is fetched once.

    Returns:
      A `WeightsFile`.

    Raises:
      UserError: there is nothing at `path`, or the file is damaged or of another kind.
    """
    path = cache.local(path)
    if path.endswith(archive.SUFFIXES):
        with archive.unpacked(_existing(path)) as folder:
            try:
                return dataclasses.replace(_read_unpacked(folder, path), path=path)
            except UserError as error:  # about a file in a folder that nobody knows
                raise UserError(str(error).replace(f"{folder}{os.sep}", f"{path}: ")) from None
    if path.endswith(".pb"):
        return WeightsFile(path, "frozen graph", frozen_graph.read(_existing(path)))
    if path.endswith(".tflite"):
        kernels, biases, dequantized = tflite.read(_existing(path))
        return WeightsFile(path, "TFLite file, dequantized" if dequantized else "TFLite file", kernels, biases)
    if path.endswith((".h5", ".hdf5")):
        return WeightsFile(path, "keras.applications weights", keras_applications.read(_existing(path)))
    if keras_file.is_keras_file(path):
        return WeightsFile(path, "Keras file", keras_file.read(_existing(path)))
    prefix = find_checkpoint(path)
    return WeightsFile(prefix, "checkpoint", bundle.read(prefix))


def find_checkpoint(path):
    """Returns the prefix of the checkpoint that `path` names: a prefix, a file of a checkpoint, or a folder."""
    if tf.io.gfile.isdir(path) and not tf.io.gfile.exists(path + ".index"):  # a bucket may call any prefix a folder
        prefix = bundle.named_in_state(path) or bundle.latest(path)
        if prefix is None:
            raise UserError(f"{path}: the folder has no checkpoint (no *.index with its *.data-* file)")
        return prefix
    for suffix in _PARTS_OF_CHECKPOINTS:
        path = path.removesuffix(suffix)
    if not tf.io.gfile.exists(path + ".index"):
        raise UserError(
            f"{path}: no checkpoint, and no file that weights can be read from; expected a checkpoint's prefix "
            "(.../model.ckpt-30000), a folder with checkpoints, .tar.gz, .pb, .tflite, .keras or .h5"
        )
    return path


def _existing(path):
    if not tf.io.gfile.exists(path) or tf.io.gfile.isdir(path):
        raise UserError(f"{path}: no such file")
    return path


def _read_unpacked(folder, path):
    """Reads the checkpoint with the highest step in an unpacked archive, else its frozen graph, else its .tflite."""
    folders = [found for found, _folders, _files in os.walk(folder)]
    prefixes = [prefix for found in folders for prefix in bundle.prefixes(found)]
    files = [os.path.join(found, name) for found in folders for name in sorted(os.listdir(found))]
    graphs = [name for suffix in (".pb", ".tflite") for name in files if name.endswith(suffix)]
    if not prefixes and not graphs:
        raise UserError(f"{path}: the archive holds neither a checkpoint nor a frozen graph nor a .tflite file")
    found = read(max(prefixes, key=bundle.step_of) if prefixes else graphs[0])
    return dataclasses.replace(found, kind=f"{found.kind} in an archive")
