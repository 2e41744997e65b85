"""Exports other than SavedModels, opened in the engines that they are for."""

import threading

import numpy as np

from deeplab.config.options import require
from deeplab.data import catalog
from deeplab.data.channels.value_range import to_values
from deeplab.exporting import model_card
from deeplab.exporting.formats import FORMATS, frozen_graph
from deeplab.files import progress_bar
from deeplab.inference import export_folder, exports, input_size
from deeplab.inference.exports import REFERENCE_LABELS, REFERENCE_PROBABILITIES
from deeplab.inference.saved_models import trial
from deeplab.layers.resize import resize_antialiased, resize_labels
from deeplab.model.backbones import BACKBONES
from deeplab.segmenting import opening

_ONE_AT_A_TIME = ("tflite", "openvino")  # whose engines keep the image of the call that runs


def open_file(kind, path, config):
    """Returns the `Opened` of the export of the format `kind` in the folder `path`, which has a model.json.

    A frozen graph takes images of any size and gives probabilities. The other formats give labels alone, of images of
    one size: a smaller image is padded to it, as --crop_size does, and a larger one is shrunk to fit into it, which a
    line says for the first such image.

    Raises:
      UserError: the files are not those that model.json records, or the engine is not installed.
    """
    require(config.batch_size in (None, 1), "batch_size", config.batch_size, f"1, since {path} takes one at a time")
    card = exports.card_of(path)
    if export_folder.recorded_files(path):
        trial.require_usable(path)
    dataset = exports.dataset_of(path, card, config.dataset)
    catalog.refuse_other(config.dataset, dataset)
    common = {"dataset": dataset, "settings": {"export": path}, "network": opening.described(card, kind)}
    if kind == "frozen_graph":
        run = frozen_graph.runner(path)
        return opening.Opened(
            lambda image: run(image[None], REFERENCE_LABELS)[0][0],
            lambda image: tuple(found[0] for found in run(image[None], REFERENCE_LABELS, REFERENCE_PROBABILITIES)),
            notice=input_size.Notice(input_size.of_card(card)),
            **common,
        )
    of_one_size = _OneSize(FORMATS[kind].reader(path), card, kind in _ONE_AT_A_TIME, dataset)
    return opening.Opened(of_one_size, None, notice=of_one_size.notice, **common)


class _OneSize:
    """Segments images of any size with an engine that takes images of one size.

    Args:
      run: function images (1, H, W, C) -> labels (1, H, W).
      card: the content of model.json.
      alone: whether only one thread at a time may call `run`.
      dataset: the `catalog.Dataset`; where it has a range of values, images are float32, else uint8.
    """

    def __init__(self, run, card, alone, dataset):
        self._run, self._lock = run, threading.Lock() if alone else None
        self.size = model_card.image_size_of(card)
        self._box = input_size.InputSize(fit_into=self.size)
        self._values = dataset.value_range
        self._padding = np.array(BACKBONES[card["config"]["model_variant"]].pad_pixel(dataset.num_channels))
        self._said = False

    def notice(self, name, size):
        """Prints a line if the image `name`, with this (height, width), is the first one that is larger."""
        if self._said or not self._is_larger(size):
            return
        self._said = True
        own, most = ("x".join(map(str, sides)) for sides in (size, self.size))
        progress_bar.note(f"{name}: {own} pixels (height x width), shrunk to fit into {most}, the size of the export")

    def __call__(self, image):
        """Returns labels (H, W) int32 of an image (H, W, C)."""
        image = image.astype(np.float32) if self._values else image
        height, width = image.shape[:2]
        if not self._is_larger((height, width)):
            return self._labels(image)
        seen = resize_antialiased(image[None], self._box.fitted(height, width))[0]
        labels = self._labels(seen if self._values else np.rint(seen).astype(np.uint8))
        return resize_labels(labels[None], (height, width))[0].numpy()

    def _is_larger(self, size):
        return any(side > most for side, most in zip(size, self.size, strict=True))

    def _labels(self, image):
        """Returns labels (H, W) int32 of an image that fits."""
        whole = np.empty((1, *self.size, image.shape[-1]), image.dtype)
        whole[:] = to_values(self._padding, self._values, image) if self._values else self._padding.round()
        whole[0, : image.shape[0], : image.shape[1]] = image
        if self._lock is None:
            labels = self._run(whole)
        else:
            with self._lock:
                labels = np.array(self._run(whole))
        return np.asarray(labels)[0, : image.shape[0], : image.shape[1]].astype(np.int32)
