"""Exports: the folder that holds their versions, and one version opened.

`python -m deeplab.export` writes SavedModels to DIR/1, DIR/2 and so on, which is the layout of TensorFlow Serving.
Beside the graph of a version lie model.json, the card that says what the network is, and dataset.json.
"""

import functools
from typing import Any, NamedTuple

import tensorflow as tf

from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.files import fingerprints, formats, limited
from deeplab.inference import loading
from deeplab.inference.loading import GRAPH_FILE, Signature

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
        *("precision", "precision_reason", "quantize", "files"),
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
        "files": {str: {fingerprints.SIZE: int, fingerprints.HASH: str}},
        **{"multiply_adds": (None, float), "multiply_adds_size": formats.is_size, "score": (None, dict)},
    },
)
# What a process needs that opens a SavedModel: TensorFlow itself, and for each byte of the folder. TensorFlow's loader
# copies the weights into every function that calls another.
_MEMORY, _MEMORY_PER_BYTE, _SECONDS = 3 << 29, 40, 600
_tried: set[str] = set()  # what `fingerprints.of` returned for SavedModels that a child of this process opened
_TRIAL_SIDE = 65  # pixels of the image of a trial
DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY  # "serving_default": images -> labels
# The signature with the names of the original's frozen graph. It returns probabilities from every export.
REFERENCE_SIGNATURE = "reference"
REFERENCE_INPUT, REFERENCE_LABELS, REFERENCE_PROBABILITIES = (
    "ImageTensor",
    "SemanticPredictions",
    "SemanticProbabilities",
)


class Version(NamedTuple):
    """A SavedModel on disk: its folder, and its version number."""

    path: str
    number: int


def versions(folder):
    """Returns the version numbers in a folder, oldest first; [] if there is no such folder."""
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)] if tf.io.gfile.isdir(folder) else []
    return sorted(int(name) for name in names if name.isdecimal())


def next_path(folder):
    """Creates the folder, and returns the path of the version after its newest one, or of version 1."""
    tf.io.gfile.makedirs(folder)
    return tf.io.gfile.join(folder.rstrip("/") or "/", str(max(versions(folder), default=0) + 1))


def newest(folder):
    """Returns the newest `Version` in an --export_path, or the one that the folder itself is; None without any.

    A version without saved_model.pb does not count: perhaps it is still being copied.
    """
    folder = folder.rstrip("/") or "/"
    name = folder.rpartition("/")[2]
    itself = Version(folder, int(name) if name.isdecimal() else 1)
    numbered = (Version(tf.io.gfile.join(folder, str(number)), number) for number in reversed(versions(folder)))
    for version in (itself, *numbered):
        if tf.io.gfile.exists(tf.io.gfile.join(version.path, GRAPH_FILE)):
            return version
    return None


def find(folder):
    """Returns what `newest` returns, and raises a UserError instead of returning None."""
    version = newest(folder)
    if version is None:
        raise UserError(f"--saved_model={folder}: no SavedModel there; name an --export_path or DIR/VERSION")
    return version


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
      UserError: TensorFlow can't load it, it is damaged, or a signature is missing.
    """
    _try(path)
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


def _try(path):
    """Refuses a SavedModel whose files are not as model.json records them, and one that ends the process that opens it.

    Files that fit the record were written by `deeplab.export`. Without a record, as in exports of other programs, a
    child process opens the SavedModel and runs it once, since TensorFlow ends the process for some damaged graphs.

    This is no protection against a SavedModel that is meant to do harm: it is a program, and the child runs it, too.
    """
    has_card = tf.io.gfile.exists(tf.io.gfile.join(path, CARD_FILE))
    recorded = read_card(path).get("files") if has_card else None
    if recorded:
        try:
            difference = fingerprints.difference(path.rstrip("/"), recorded)
        except (OSError, tf.errors.OpError) as error:
            difference = _one_line(error)
        if difference:
            raise UserError(f"{path}: not as it was exported ({difference}); copy it again, or export it again")
        return
    found = fingerprints.of(path.rstrip("/"))
    content = repr(found)
    if content in _tried:
        return
    print(f"{path}: nothing records the content of its files, so a process of its own opens it first", flush=True)
    size = sum(file[fingerprints.SIZE] for file in found.values())
    try:
        limited.run("deeplab.inference.exports", [path], _MEMORY + _MEMORY_PER_BYTE * size, _SECONDS)
    except limited.Failed as error:
        raise UserError(
            f"{path}: not a SavedModel that can be used ({error}); name an --export_path or DIR/VERSION"
        ) from None
    _tried.add(content)


def _trial(path):
    """Opens a SavedModel and, if it takes images, runs it once; raises what that raises."""
    signatures, functions = loading.open_saved_model(path)
    inputs = signatures[DEFAULT_SIGNATURE].inputs if DEFAULT_SIGNATURE in signatures else {}
    spec = inputs.get("images")
    if len(inputs) != 1 or spec is None or len(spec.shape or ()) != 4:
        return
    batch, *size, channels = spec.shape
    shape = (batch or 1, *(side or _TRIAL_SIDE for side in size), channels or 3)
    functions.call(DEFAULT_SIGNATURE, {"images": tf.zeros(shape, tf.as_dtype(spec.dtype))})


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
        """Returns the `catalog.Dataset` of dataset.json; without that file, the catalogue's `name`."""
        return catalog.load(self.path, name)

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


if __name__ == "__main__":
    limited.serve(_trial)
