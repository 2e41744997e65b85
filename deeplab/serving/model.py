"""A SavedModel as the server sees it, and the folder of its versions."""

import io
import json
import typing

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab.data import catalog
from deeplab.pictures import images
from deeplab.serving.contract import DEFAULT_SIGNATURE, Refusal

_CARD = "model.json"  # deeplab.model_card writes it
_WARM_SIZE = (65, 65)  # of the images that warm a network up where its card names no usual size
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8")  # what begins so is an image, or a damaged one
_ANIMATED = ("GIF", "WEBP")  # formats whose frames TensorFlow decodes all


class Spec(typing.NamedTuple):
    """One input or output. `shape`: sizes, None for any; None as a whole for any rank. Strings are objects."""

    dtype: np.dtype
    dtype_name: str  # "DT_UINT8"
    shape: tuple | None
    tensor: str


class Signature(typing.NamedTuple):
    inputs: dict  # {name: Spec}
    outputs: dict


class Model:
    """One loaded version: `version`, `signatures` {name: Signature}, `dataset`, `card` (model.json), `run`."""

    def __init__(self, folder, version):
        from tensorflow.core.protobuf import saved_model_pb2

        self.version = version
        self._module = tf.saved_model.load(folder)
        with tf.io.gfile.GFile(tf.io.gfile.join(folder, "saved_model.pb"), "rb") as file:
            definitions = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].signature_def
        names = self._module.signatures
        self.signatures = {
            name: Signature(_specs(definitions[name].inputs), _specs(definitions[name].outputs)) for name in names
        }
        self.dataset, self.card = catalog.load(folder), _card(folder)
        self._warm_up(tuple(self.card.get("multiply_adds_size", _WARM_SIZE)))

    def run(self, signature, inputs):
        """Returns {output: array} of {input: array}; raises a `Refusal`."""
        try:
            results = self._module.signatures[signature](**{name: tf.constant(v) for name, v in inputs.items()})
            return {name: value.numpy() for name, value in results.items()}
        except tf.errors.ResourceExhaustedError:
            raise Refusal(503, "Out of memory: send smaller images or batches") from None
        except tf.errors.OpError as error:
            lines = error.message.strip().splitlines() or [""]
            status = 400 if isinstance(error, tf.errors.InvalidArgumentError) else 500
            raise Refusal(status, lines[0][:300]) from None

    def _warm_up(self, size):
        """Runs serving_default once, so that the first request does not pay for what TensorFlow does at first."""
        spec = self.signatures.get(DEFAULT_SIGNATURE)
        if spec and all(_is_images(item) for item in spec.inputs.values()):
            usual = (1, *size, 3)
            shapes = {name: [own or usual[i] for i, own in enumerate(item.shape)] for name, item in spec.inputs.items()}
            self.run(DEFAULT_SIGNATURE, {name: np.zeros(shapes[name], spec.inputs[name].dtype) for name in shapes})


def _card(folder):
    path = tf.io.gfile.join(folder, _CARD)
    if not tf.io.gfile.exists(path):
        return {}
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def _is_images(spec):
    return spec.dtype != np.dtype(object) and spec.shape is not None and len(spec.shape) == 4


def _specs(infos):
    specs = {}
    for name, info in infos.items():
        kind = tf.as_dtype(info.dtype)
        sizes = None if info.tensor_shape.unknown_rank else [dim.size for dim in info.tensor_shape.dim]
        shape = None if sizes is None else tuple(None if size < 0 else size for size in sizes)
        dtype = np.dtype(object) if kind == tf.string else np.dtype(kind.as_numpy_dtype)
        specs[name] = Spec(dtype, f"DT_{kind.name.upper()}", shape, info.name)
    return specs


def check_pixels(inputs, max_pixels):
    """Returns the number of pixels in the images of {input: array}, encoded ones by their headers; may refuse."""
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
    """Returns width * height as the header of an encoded image says; nothing is decoded. 0: no image.

    Raises:
      Refusal: the header is damaged, or the image has several frames, each of which would have to be decoded.
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
    """Returns an encoded image as (H, W, 3) uint8; its size is checked before it is decoded."""
    pixels = header_pixels(content)
    if pixels == 0:
        raise Refusal(400, "Not a readable image")
    if pixels > max_pixels:
        raise Refusal(413, f"{pixels} pixels; at most {max_pixels} are taken")
    return images.decode(content, "image")
