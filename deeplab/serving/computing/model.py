"""What the server runs: one version of a model, and how much memory it takes."""

import contextlib

import numpy as np
import tensorflow as tf

from deeplab import memory
from deeplab.config.options import MAX_IMAGE_PIXELS
from deeplab.errors import lack_of_memory
from deeplab.inference import exports, input_size
from deeplab.serving.computing import measured
from deeplab.serving.computing.budget import Cost
from deeplab.serving.reading.contract import DEFAULT_SIGNATURE, Refusal

_WARM_UP_SIZE = (65, 65)  # (height, width) of the warm-up image, if the card does not name a usual size
_PASSES = 10  # scans that a JPEG of max_pixels may have; programs write about that many
_OBJECTS = 10_000  # bytes of memory of every image besides its pixels
_SMALLEST = 8  # images of one pixel whose memory is measured
_quiet = measured.Quiet()


class ServedModel:
    """One loaded version, warmed up: what the routes need to know about it, and `run`.

    Args:
      path: folder of the SavedModel.
      version: its version number.

    Raises:
      UserError: the folder holds no SavedModel that TensorFlow can load.
    """

    def __init__(self, path: str, version: int):
        self.version = version
        self._export = exports.load(path)
        self.signatures = self._export.signatures
        self.dataset, self.card = self._export.dataset(), self._export.card
        self.input_size = input_size.of_card(self.card)  # what the graph does with large images
        self.cost = Cost()  # what it takes while it runs
        self._warm_up(tuple(self.card.get("multiply_adds_size", _WARM_UP_SIZE)))
        self._level = measured.Level()

    def run(self, signature, inputs):
        """Returns {output: array} of {input: array}; raises a `Refusal` that says what the client can do about it."""
        try:
            with _quiet.shared():
                outputs = self._run(signature, inputs)
            self.settle()
            return outputs
        except Exception as error:
            if not lack_of_memory(error):
                raise
            raise Refusal(503, "Out of memory: send smaller images or batches") from None

    def settle(self):
        """Gives memory back to the system that large requests have left behind."""
        self._level.restore()

    def _run(self, signature, inputs):
        """As `run`, but a lack of memory passes through as it is."""
        try:
            return self._export.run(signature, inputs)
        except tf.errors.OpError as error:
            if lack_of_memory(error):
                raise
            lines = error.message.strip().splitlines() or [""]
            status = 400 if isinstance(error, tf.errors.InvalidArgumentError) else 500
            raise Refusal(status, lines[0][:300]) from None

    def _warm_up(self, size):
        """Runs serving_default, so that no client waits while TensorFlow prepares the graph, and measures its cost."""
        signature = self.signatures.get(DEFAULT_SIGNATURE)
        if signature and all(_is_images(spec) for spec in signature.inputs.values()):
            with memory.told(
                lambda: f"{self._export.path} with an image of {size[0]}x{size[1]} pixels",
                lambda bytes: "export it with a smaller --input_size or --crop_size, or stop other programs",
            ):
                self._run(DEFAULT_SIGNATURE, _zeros(signature, 1, size))
                self.cost = self._measured(signature, size)

    def _measured(self, signature, size):
        """Returns the `Cost` of serving_default, from a run with one image of `size` and one with very small images."""
        least = tuple(self.card.get("crop_size") or (1, 1))
        rule = self.card.get("resize") or {}
        resize = (rule["min_resize_value"], rule.get("max_resize_value")) if rule.get("min_resize_value") else None
        cost = Cost(least=least, resize=resize)
        usual, smallest = _zeros(signature, 1, size), _zeros(signature, _SMALLEST, (1, 1))
        with _quiet.alone():
            grown = measured.growth(lambda: self._run(DEFAULT_SIGNATURE, usual))
            if grown is None:
                return cost
            height, width = next(iter(usual.values())).shape[1:3]
            cost = cost._replace(image=0, pixel=max(grown // cost.seen(height, width), measured.LEAST_PER_PIXEL))
            if any(None not in (spec.shape[0], *spec.shape[1:3]) for spec in signature.inputs.values()):
                return cost
            grown = 0
            with contextlib.suppress(Refusal):  # a graph that takes no such images
                grown = measured.growth(lambda: self._run(DEFAULT_SIGNATURE, smallest))
        count = len(next(iter(smallest.values())))
        return cost._replace(image=max(grown // count - cost.of(1, 1), 0) + _OBJECTS)


def _zeros(signature, count, size):
    """Returns {input: black images}, as many and as large as is asked for where the signature leaves it open."""
    usual = (count, *size, 3)
    return {
        name: np.zeros([side or usual[axis] for axis, side in enumerate(spec.shape)], spec.dtype)
        for name, spec in signature.inputs.items()
    }


def _is_images(spec):
    """Tells whether an input takes arrays (B, H, W, C), and not encoded files."""
    return spec.dtype != np.dtype(object) and spec.shape is not None and len(spec.shape) == 4


def check_pixels(sizes, max_pixels, max_image_pixels=MAX_IMAGE_PIXELS):
    """Returns the number of pixels of all images in a list of [images, height, width, scans], see `contract.sizes`.

    Raises:
      Refusal: an image has more than `max_image_pixels`, or all images together have more than `max_pixels`, or many
        more if those of every scan are counted.
    """
    largest = max((height * width for _, height, width, _ in sizes), default=0)
    if largest > max_image_pixels:
        raise Refusal(413, f"an image of {largest} pixels; at most {max_image_pixels} are taken of one")
    total = sum(count * height * width for count, height, width, _scans in sizes)
    if total > max_pixels:
        raise Refusal(413, f"{total} pixels; at most {max_pixels} are taken")
    work = sum(count * height * width * scans for count, height, width, scans in sizes)
    if work > _PASSES * max_pixels:
        raise Refusal(413, f"{work} pixels in all scans; at most {_PASSES * max_pixels} are decoded")
    return total
