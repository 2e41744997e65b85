"""What `--precision=auto` means: bfloat16 where the labels stay the same and an image takes less time, else float32.

Instructions for bfloat16 are needed and do not suffice, since what they gain depends on the network. A network is
therefore measured as it would be exported, in both types, on the machine that exports it.
"""

import statistics
import time
from typing import NamedTuple

import numpy as np

from deeplab import devices
from deeplab.config.export import AUTO
from deeplab.exporting.formats import saved_model, trial_images
from deeplab.exporting.signatures import ExportedModule
from deeplab.files import progress_bar

LEAST_AGREEMENT = 0.995  # share of labels that have to equal the network's
_GAIN = 0.95  # bfloat16 has to take less than this share of the time
_IMAGES = 8
_WARM_UP, _TURNS = 2, 5


class Choice(NamedTuple):
    """The type that an export computes in, one of folding.PRECISIONS, and why: a clause that follows "because"."""

    precision: str
    reason: str | None = None  # None: the user chose it

    def __str__(self):
        return f"precision={AUTO}: {self.precision}, because {self.reason}"


def choose(original, made):
    """Returns the `Choice` for a network.

    Args:
      original: the `Predictor` of the network as it was trained.
      made: function ("float32" or "bfloat16") -> the `NetworkToExport` that computes in it.
    """
    support = devices.bfloat16()
    if not support.is_computed:
        return Choice("float32", support.told)
    network = made("bfloat16")
    images = list(trial_images.of_size(network, _IMAGES))
    labels = _labels_of(network)
    how = {"input_size": network.input_size, "channels": network.loaded.dataset}
    expected = ExportedModule(original, network.config.resize, **how)
    with progress_bar.show(len(images) + _WARM_UP + _TURNS, "image", f"precision={AUTO}") as bar:
        same = _agreement(expected, labels, images, bar)
        told = f"{100 * same:.2f} % of the labels of {_told(images, network.config)} are the same"
        if same < LEAST_AGREEMENT:
            return Choice("float32", f"only {told} in bfloat16, less than {100 * LEAST_AGREEMENT:g} %")
        bfloat16, float32 = _milliseconds((labels, _labels_of(made("float32"))), images[0], bar)
    if bfloat16 >= _GAIN * float32:
        return Choice("float32", f"an image takes {bfloat16:.0f} ms in bfloat16 and {float32:.0f} ms in float32")
    gain = f"an image takes {bfloat16:.0f} ms in place of {float32:.0f} ms"
    return Choice("bfloat16", f"{support.told}, {told}, and {gain}")


def _labels_of(network):
    """Returns the function images (1, H, W, 3) uint8 -> labels (1, H, W) of a network as it will be exported."""
    module = saved_model.module(network)
    return lambda images: module.serving_default(images)["labels"].numpy()


def _agreement(original, labels, images, bar):
    """Returns the share of the labels of all images that `labels` and the module `original` have in common."""
    same = []
    for image in images:
        same.append(np.mean(labels(image) == original.segment(image)[0].numpy()))
        bar.update()
    return float(np.mean(same))


def _milliseconds(functions, image, bar):
    """Returns the time that each function takes for an image; they take turns, so that other work slows both."""
    times = []
    for _ in range(_WARM_UP + _TURNS):
        times.append([_timed(function, image) for function in functions])
        bar.update()
    return [statistics.median(column) for column in zip(*times[_WARM_UP:], strict=True)]


def _timed(function, image):
    began = time.perf_counter()
    function(image)
    return 1000 * (time.perf_counter() - began)


def _told(images, config):
    """Returns which images were compared, such as "8 images of val"."""
    return f"{len(images)} images of {config.split}" if config.dataset_dir else f"{len(images)} generated images"
