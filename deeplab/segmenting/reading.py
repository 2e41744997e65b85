"""The images that `deeplab.Segmenter` takes, as arrays: from paths, bytes, Pillow images, arrays and tensors."""

import os
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from deeplab.data.channels.facts import Channels
from deeplab.errors import UserError, one_line
from deeplab.files import progress_bar
from deeplab.pictures import images
from deeplab.pictures.bands import files

_RGB = Channels()
TAKEN = (
    "expected a path, the bytes of an image file, a PIL image, a uint8 array or tensor of shape (H, W, 3), "
    "(B, H, W, 3) or grey (H, W), or a list of these"
)


class Picture(NamedTuple):
    """One image: what messages call it, and its pixels (H, W, C), which nobody else changes."""

    name: str
    pixels: np.ndarray


def read(source, channels=_RGB, max_pixels=images.MAX_PIXELS):
    """Returns (list of `Picture`s, whether the caller gave several images) of what `deeplab.Segmenter` was called with.

    Args:
      source: see `TAKEN`.
      channels: the `Channels` that the network takes, usually a `catalog.Dataset`.
      max_pixels: a file with more pixels is refused.

    Raises:
      UserError: something is not an image; it says what was given and what is taken.
    """
    how = (channels, max_pixels)
    if isinstance(source, (list, tuple)):
        found = [_read_one(one, f"image {number} of the list", *how) for number, one in enumerate(source)]
        several = next((number for number, one in enumerate(source) if _is_batch(one)), None)
        if several is not None:
            shape = tuple(source[several].shape)
            raise UserError(f"image {several} of the list: an array of shape {shape}; expected one image (H, W, 3)")
        return [one for (one,) in found], True
    return _read_one(source, "the image", *how), _is_batch(source)


def _is_batch(source):
    return hasattr(source, "shape") and len(source.shape) == 4


def _read_one(source, name, channels, max_pixels):
    """Returns the `Picture`s in what is no list; only arrays of rank 4 hold not exactly one."""
    if isinstance(source, (str, os.PathLike)):
        return [_of_file(os.fspath(source), channels, max_pixels)]
    if isinstance(source, (bytes, bytearray, memoryview)):
        return [Picture(name, files.decode(bytes(source), name, channels, max_pixels))]
    if isinstance(source, Image.Image) and not channels.reads_bands:
        return [Picture(name, images.of_pillow(source, name, max_pixels))]
    if isinstance(source, Image.Image):
        source = np.asarray(ImageOps.exif_transpose(source))
    if isinstance(source, np.ndarray) or hasattr(source, "__array__"):
        return _of_array(source, name, channels)
    raise UserError(f"{name}: {type(source).__name__}; {TAKEN}")


def _of_file(path, channels, max_pixels):
    """Returns the `Picture` in a file, and says what the file holds beside it."""
    if isinstance(path, bytes) or "\0" in path:
        raise UserError(f"{path!r}: not the path of a file; {TAKEN}")
    picture = files.open_picture(path, channels, max_pixels)
    for line in images.describe_losses({loss: [path] for loss in picture.losses}):
        progress_bar.note(line)
    return Picture(path, picture.pixels)


def _of_array(source, name, channels):
    """Returns the `Picture`s in an array or tensor."""
    try:
        array = np.array(source)  # a copy, since the caller may fill the same memory with the next image
    except Exception as error:  # each library has its own errors, for tensors of a graph or on a GPU
        raise UserError(f"{name}: {type(source).__name__} without values ({one_line(error, 200)}); {TAKEN}") from None
    given = f"{name}: {type(source).__name__} of shape {array.shape} and type {array.dtype}"
    count = channels.num_channels
    if array.ndim == 2 and count in (1, 3):
        array = np.repeat(array[..., None], count, axis=-1)
    if array.ndim not in (3, 4) or array.shape[-1] != count:
        raise UserError(f"{given}; {TAKEN.replace(', 3)', f', {count})')}")
    if 0 in array.shape[-3:]:
        raise UserError(f"{given}, which has no pixels; {TAKEN}")
    array = _as_values(array, given) if channels.value_range else _as_uint8(array, given)
    if array.ndim == 3:
        return [Picture(name, array)]
    return [Picture(f"{name} {number} of the batch", pixels) for number, pixels in enumerate(array)]


def _as_values(array, given):
    """Returns an array of finite numbers, the values of files, as float32."""
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise UserError(f"{given}; expected finite numbers, the values that image files have")
    return array.astype(np.float32)


def _as_uint8(array, given):
    """Returns an array of integers from 0 to 255 as uint8."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iu":
        way_out = "np.rint(image).astype(np.uint8), after a factor of 255 where white is 1, is such an array"
        raise UserError(f"{given}; expected uint8, 0 to 255: {way_out if array.dtype.kind == 'f' else TAKEN}")
    if array.size and (array.min() < 0 or array.max() > 255):
        raise UserError(f"{given} with values from {array.min()} to {array.max()}; expected uint8, 0 to 255")
    return array.astype(np.uint8)
