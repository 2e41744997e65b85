"""Exports: the folder that holds their versions, and one version opened.

`python -m deeplab.export` writes SavedModels to DIR/1, DIR/2 and so on, which is the layout of TensorFlow Serving.
Beside the graph of a version lie model.json, the card that says what the network is, and dataset.json.
"""

import functools
import sys
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.files import formats, manifest
from deeplab.inference import loading
from deeplab.inference.loading import GRAPH_FILE, Signature

CARD_FILE = "model.json"
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
        *("precision", "precision_reason", "quantize", "files"),
    ),
)
DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY  # "serving_default": images -> labels
# The signature with the names of the original's frozen graph. It returns probabilities from every export.
REFERENCE_SIGNATURE = "reference"
REFERENCE_INPUT, REFERENCE_LABELS, REFERENCE_PROBABILITIES = (
    "ImageTensor",
    "SemanticPredictions",
    "SemanticProbabilities",
)


UNKNOWN = "unknown"  # the name of the data set of a SavedModel that does not say which classes it predicts


class Version(NamedTuple):
    """A SavedModel on disk: its folder, its version number, and the `manifest.stamp` of its files where it matters."""

    path: str
    number: int
    stamp: tuple = ()


def versions(folder):
    """Returns the version numbers in a folder, oldest first; [] if there is no such folder."""
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)] if tf.io.gfile.isdir(folder) else []
    return sorted(int(name) for name in names if name.isdecimal())


def next_path(folder):
    """Creates the folder, and returns the path of the version after its newest one, or of version 1."""
    tf.io.gfile.makedirs(folder)
    return tf.io.gfile.join(folder.rstrip("/") or "/", str(max(versions(folder), default=0) + 1))


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
        return _one_line(error)
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


def load(path, required=()):
    """Opens the SavedModel in the folder `path`, which `find` found.

    Args:
      path: the folder.
      required: names of signatures that the caller needs.

    Returns:
      An `Export`.

    Raises:
      UserError: TensorFlow can't load it, a signature is missing, or a file is not the one that export wrote.
    """
    changed = manifest.difference(path, recorded_files(path) or {}, hashes=True)
    if changed:
        raise UserError(f"{path} is not whole: {changed}; copy it again, or export it again")
    try:
        signatures, functions = loading.open_saved_model(path)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise UserError(
            f"{path}: not a SavedModel ({_one_line(error)}); name an --export_path or DIR/VERSION"
        ) from None
    missing = [name for name in required if name not in signatures]
    if missing:
        raise UserError(
            f"{path}: a SavedModel without the signature {missing[0]}; write it with python -m deeplab.export"
        )
    return Export(path, signatures, functions)


class Export:
    """A loaded SavedModel. It is often one of this project's, but the server runs those of other programs, too.

    Args:
      path: its folder.
      signatures: {name: `Signature`}, the functions of the SavedModel.
      functions: calls them, one of `loading.Functions`.
    """

    def __init__(
        self, path: str, signatures: dict[str, Signature], functions: loading.Direct | loading.Divided | loading.Loaded
    ):
        self.path, self.signatures, self._functions = path, signatures, functions

    @functools.cached_property
    def card(self) -> dict[str, Any]:
        """The content of model.json; {} without that file, as in a SavedModel of another program.

        Raises:
          UserError: the file is damaged, or a newer version wrote it; guessing would give other labels.
        """
        return read_card(self.path) if tf.io.gfile.exists(tf.io.gfile.join(self.path, CARD_FILE)) else {}

    def dataset(self, name=None):
        """Returns the `catalog.Dataset` of the classes that the network predicts.

        Sources: dataset.json, else the card, else the catalogue's `name`. Without any of them, the classes are
        numbered: names that are guessed would be wrong without anybody noticing.
        """
        if tf.io.gfile.exists(tf.io.gfile.join(self.path, catalog.FILE)):
            return catalog.load(self.path)
        if self.card:
            names, colors = self.card["classes"], self.card.get("colors") or ()
            try:
                return catalog.Dataset("export", len(names), class_names=names, colors=colors)
            except (UserError, TypeError, ValueError) as error:
                raise UserError(f"{self.path}/{CARD_FILE}: {_one_line(error)}") from None
        return catalog.load(None, name) if name else catalog.Dataset(UNKNOWN, catalog.MAX_LABEL + 1)

    def run(self, signature, inputs):
        """Returns {output: array} of {input: array} by the signature of that name.

        Raises:
          UserError: the export is for other machines.
          Everything that TensorFlow raises.
        """
        results = self._call(signature, {name: tf.constant(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in results.items()}

    def _call(self, signature, inputs):
        """Returns {output: tensor} of {input: tensor}; raises what `run` raises."""
        try:
            return self._functions.call(signature, inputs)
        except tf.errors.OpError as error:
            if "dilation" not in str(error):
                raise
            # Exports of before have such an operation in every network with atrous depthwise convolutions.
            raise UserError(
                f"{self.path}: holds dilated depthwise convolutions, which TensorFlow only runs on CPUs with oneDNN; "
                "export the network again, or run it on a CPU with TF_ENABLE_ONEDNN_OPTS=1"
            ) from None

    def segment(self, image):
        """Returns labels (H, W) int32 of an image (H, W, 3) uint8, by the signature serving_default.

        Raises:
          UserError: the export takes no image of that size; some are made for images of one size.
        """
        return self.labels(image[None])[0].numpy()

    def labels(self, images):
        """Returns labels (B, H, W) int32, a tensor that a GPU may still compute, of images (B, H, W, 3) uint8.

        Raises what `segment` raises. B is 1 unless `takes_batches`.
        """
        return self._outputs(images, DEFAULT_SIGNATURE, "images")["labels"]

    @property
    def takes_batches(self):
        """Tells whether `labels` takes any number of images."""
        images = self.signatures[DEFAULT_SIGNATURE].inputs.get("images")
        return images is None or not images.shape or images.shape[0] is None

    @property
    def has_probabilities(self):
        """Tells whether `segment_with_probabilities` works."""
        reference = self.signatures.get(REFERENCE_SIGNATURE)
        return reference is not None and REFERENCE_PROBABILITIES in reference.outputs

    def segment_with_probabilities(self, image):
        """Returns what `segment` returns, and probabilities (H, W, K) float32."""
        results = self._outputs(image[None], REFERENCE_SIGNATURE, REFERENCE_INPUT)
        return results[REFERENCE_LABELS][0].numpy(), results[REFERENCE_PROBABILITIES][0].numpy()

    def _outputs(self, images, signature, name):
        """Returns the outputs, as tensors, of a signature for images (B, H, W, 3), which are its input `name`."""
        try:
            return self._call(signature, {name: tf.constant(images)})
        except (tf.errors.InvalidArgumentError, TypeError) as error:
            size = "x".join(str(side) for side in images.shape[1:3])
            raise UserError(f"{self.path}: does not take an image of {size} pixels ({_one_line(error)})") from None


def _one_line(error):
    return " ".join(str(error).split())[:200]
