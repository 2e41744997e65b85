"""An export, opened: its signatures, its card, and what they give for images."""

import functools
from typing import Any

import tensorflow as tf

from deeplab.data import catalog
from deeplab.errors import UserError, one_line
from deeplab.inference import export_folder
from deeplab.inference.saved_models import loading, trial
from deeplab.inference.saved_models.loading import Signature

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY  # "serving_default": images -> labels
# The signature with the names of the original's frozen graph. It returns probabilities from every export.
REFERENCE_SIGNATURE = "reference"
REFERENCE_INPUT, REFERENCE_LABELS, REFERENCE_PROBABILITIES = (
    "ImageTensor",
    "SemanticPredictions",
    "SemanticProbabilities",
)


_COLORS_AND_IDS = ("colors", "source_ids", "source_colors")  # fields of the card and of `catalog.Dataset`
UNKNOWN = "unknown"  # the name of the data set of a SavedModel that does not say which classes it predicts


def load(path, required=()):
    """Opens the SavedModel in the folder `path`, which `find` found.

    Args:
      path: the folder.
      required: names of signatures that the caller needs.

    Returns:
      An `Export`.

    Raises:
      UserError: TensorFlow can't load it, it is damaged, a signature is missing, or a file is not the one that export
        wrote.
    """
    trial.require_usable(path)
    try:
        signatures, functions = loading.open_saved_model(path)
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise UserError(
            f"{path}: not a SavedModel ({one_line(error, 200)}); name an --export_path or DIR/VERSION"
        ) from None
    missing = [name for name in required if name not in signatures]
    if missing:
        raise UserError(
            f"{path}: a SavedModel without the signature {missing[0]}; write it with python -m deeplab.export"
        )
    return Export(path, signatures, functions)


def card_of(path):
    """Returns the content of the model.json in the folder of an export; raises and returns what `Export.card` does."""
    has_card = tf.io.gfile.exists(tf.io.gfile.join(path, export_folder.CARD_FILE))
    return export_folder.read_card(path) if has_card else {}


def dataset_of(path, card, name=None):
    """Returns the `catalog.Dataset` of an export of any format, as `Export.dataset` does; `card` is its `card_of`."""
    if tf.io.gfile.exists(tf.io.gfile.join(path, catalog.FILE)):
        return catalog.load(path)
    if card:
        names, known = card["classes"], {name: card.get(name) or () for name in _COLORS_AND_IDS}
        try:
            return catalog.Dataset("export", len(names), class_names=names, **known, **channels_of(path, card))
        except (UserError, TypeError, ValueError) as error:
            where = f"{path}/{export_folder.CARD_FILE}"
            raise UserError(f"{where}: {one_line(error, 200)}") from None
    return catalog.load(None, name) if name else catalog.Dataset(UNKNOWN, catalog.MAX_LABEL + 1)


def channels_of(path, card):
    """Returns the `channels.facts` of the export in a folder, from its dataset.json, or else from its card."""
    if tf.io.gfile.exists(tf.io.gfile.join(path, catalog.FILE)):
        return catalog.load(path).channel_facts
    recorded = {name: card[name] for name in ("value_range", "bands") if name in card}
    return {"num_channels": card["config"].get("num_channels", 3), **recorded}


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
        return card_of(self.path)

    def dataset(self, name=None):
        """Returns the `catalog.Dataset` of the classes that the network predicts.

        Sources: dataset.json, else the card, else the catalogue's `name`. Without any of them, the classes are
        numbered: names that are guessed would be wrong without anybody noticing.
        """
        return dataset_of(self.path, self.card, name)

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
        """Returns labels (H, W) int32 of an image (H, W, C), by the signature serving_default.

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
        """Returns the outputs, as tensors, of a signature for images (B, H, W, C), which are its input `name`."""
        spec = self.signatures[signature].inputs.get(name) if signature in self.signatures else None
        if spec is not None and spec.dtype != images.dtype and spec.dtype == "float32":
            images = images.astype("float32")  # of a data set with a range of values
        try:
            return self._call(signature, {name: tf.constant(images)})
        except (tf.errors.InvalidArgumentError, TypeError) as error:
            size = "x".join(str(side) for side in images.shape[1:3])
            reason = one_line(error, 200)
            raise UserError(f"{self.path}: does not take an image of {size} pixels ({reason})") from None
