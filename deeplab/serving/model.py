"""What the server runs: one version of a model, and the checks of the images that it is given."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab import memory
from deeplab.errors import lack_of_memory
from deeplab.inference import exports, input_size
from deeplab.pictures import images
from deeplab.serving.contract import DEFAULT_SIGNATURE, Refusal

_WARM_UP_SIZE = (65, 65)  # (height, width) of the warm-up image, if the card does not name a usual size
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8")  # a file that begins so is an image, even if it can't be read
_ANIMATED = ("GIF", "WEBP")  # TensorFlow decodes every frame of these formats


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
        self._warm_up(tuple(self.card.get("multiply_adds_size", _WARM_UP_SIZE)))

    def run(self, signature, inputs):
        """Returns {output: array} of {input: array}; raises a `Refusal` that says what the client can do about it."""
        try:
            return self._run(signature, inputs)
        except Exception as error:
            if not lack_of_memory(error):
                raise
            raise Refusal(503, "Out of memory: send smaller images or batches") from None

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
        """Runs serving_default once, so that no client waits while TensorFlow prepares the graph."""
        signature = self.signatures.get(DEFAULT_SIGNATURE)
        if signature and all(_is_images(spec) for spec in signature.inputs.values()):
            usual = (1, *size, 3)
            zeros = {
                name: np.zeros([side or usual[axis] for axis, side in enumerate(spec.shape)], spec.dtype)
                for name, spec in signature.inputs.items()
            }
            with memory.told(
                lambda: f"{self._export.path} with an image of {size[0]}x{size[1]} pixels",
                lambda bytes: "export it with a smaller --input_size or --crop_size, or stop other programs",
            ):
                self._run(DEFAULT_SIGNATURE, zeros)


def _is_images(spec):
    """Tells whether an input takes arrays (B, H, W, C), and not encoded files."""
    return spec.dtype != np.dtype(object) and spec.shape is not None and len(spec.shape) == 4


def check_pixels(inputs, max_pixels):
    """Returns the number of pixels of all images in {input: array}. The headers of encoded images tell theirs.

    Raises:
      Refusal: there are more than `max_pixels`.
    """
    total = 0
    for array in inputs.values():
        if array.dtype == np.dtype(object):
            total += sum(header_pixels(content) for content in array.reshape(-1))
        elif array.ndim == 4:
            total += int(np.prod(array.shape[:3]))
    if total > max_pixels:
        raise Refusal(413, f"{total} pixels; at most {max_pixels} are taken")
    return total


def header_pixels(content):
    """Returns width * height from the header of an encoded image, without decoding it; 0 if it is no image.

    Raises:
      Refusal: the header is damaged, or the image has several frames: TensorFlow would decode each of them.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format in _ANIMATED and image.is_animated:
                raise Refusal(400, "Animated images are not taken")
            return image.width * image.height
    except Image.DecompressionBombError:
        raise Refusal(413, "The image has too many pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError):
        if content.startswith(_MAGIC):
            raise Refusal(400, "Not a readable image") from None
        return 0


def decode(content, max_pixels):
    """Returns an encoded image as (H, W, 3) uint8. Its size is checked before anything is decoded."""
    pixels = header_pixels(content)
    if pixels == 0:
        raise Refusal(400, "Not a readable image")
    if pixels > max_pixels:
        raise Refusal(413, f"{pixels} pixels; at most {max_pixels} are taken")
    return images.decode(content, "image")
