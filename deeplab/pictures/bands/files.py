"""Reads image files for a network: as RGB of 8 bits, or with the bands and the values that it was trained on."""

import numpy as np

from deeplab.errors import UserError
from deeplab.files import paths
from deeplab.pictures import images
from deeplab.pictures.bands import reading


def open_picture(path, channels, max_pixels=images.MAX_PIXELS):
    """Returns the `images.Picture` in a file, whose pixels are (H, W, C) as a network takes them.

    Args:
      path: the file.
      channels: has `bands`, `value_range`, `num_channels` and `reads_bands`, as a `catalog.Dataset`.
      max_pixels: an image with more is refused.

    Returns:
      Pixels are uint8, or float32 with the values of the file where there is a range of values.

    Raises:
      UserError: as `images.open_picture`, or the file has other bands or types than the network takes.
    """
    if not channels.reads_bands:
        return images.open_picture(path, max_pixels)
    try:
        content = paths.read_regular(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    return images.Picture(decode(content, path, channels, max_pixels), ())


def decode(content, name, channels, max_pixels=images.MAX_PIXELS):
    """Returns the pixels (H, W, C) in the bytes of an image file, as `open_picture` does; messages call it `name`."""
    if not channels.reads_bands:
        return images.decode(content, name, max_pixels)
    try:
        pixels, _orientation = reading.read(content, channels.bands, max_pixels)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    except MemoryError:
        raise UserError(f"{name}: decoding it needs more memory than there is") from None
    except Exception as error:  # damaged bytes make decoders raise errors of any type
        raise UserError(f"{name}: not a readable image ({type(error).__name__})") from None
    return of_network(pixels, name, channels)


def of_network(pixels, name, channels):
    """Returns pixels (H, W, C) in the type that a network takes; a UserError if it takes no such pixels."""
    given = f"{name}: {pixels.shape[-1]} channels of {pixels.dtype}"
    if pixels.shape[-1] != channels.num_channels:
        raise UserError(f"{given}; the network takes {channels.num_channels} channels")
    if channels.value_range:
        return pixels.astype(np.float32)
    if pixels.dtype != np.uint8:
        raise UserError(f"{given}; the network takes uint8, 0 to 255")
    return pixels


def refuse_video(path, channels):
    """Raises a UserError if a network does not take the frames of videos, which are RGB of 8 bits."""
    if channels.stores_bands:
        kind = " with a range of values" * bool(channels.value_range)
        raise UserError(
            f"{path}: frames of videos are RGB of 8 bits; the network takes {channels.num_channels} channels{kind}"
        )
