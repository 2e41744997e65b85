"""Weights of networks for another number of channels: what becomes of the kernel of the first convolution."""

import numpy as np

from deeplab.errors import UserError
from deeplab.model.names import reference_name

MEAN, ZERO = "mean", "zero"


def with_channels(values, model, extra_channels):
    """Returns {name: kernel of the first convolution} for the channels of a network; {} where the file has as many.

    With "mean", each channel that the file does not have gets the mean of the file's kernels, and all are scaled so
    that an image with equal channels gives what an RGB image of it gives: for one channel, the sum of the three. With
    "zero", further channels get zeros, so that the network computes what it computed from the first ones alone.
    Source of the first: the networks of timm and segmentation_models.pytorch, which begin so.

    Args:
      values: {name: array} of a file.
      model: as `build_model` returns it.
      extra_channels: MEAN or ZERO; None leaves the kernel as it is.

    Raises:
      UserError: "zero" with fewer channels than the file has.
    """
    given = channels(values, model) if extra_channels is not None else None
    wanted = model.parts.config.num_channels if given else None
    if given == wanted:
        return {}
    kernel = _first_kernel(model)
    return {kernel: _with_channels(np.asarray(values[kernel]), wanted, extra_channels)}


def channels(values, model):
    """Returns the number of channels of the network whose weights `values` {name: array} are; None if it is unknown."""
    shape = np.shape(values.get(_first_kernel(model), ()))
    return shape[2] if len(shape) == 4 else None


def _first_kernel(model):
    """Returns the name of the kernel of the first convolution; "" of a network that is not of `build_model`."""
    convolutions = getattr(getattr(model, "parts", None), "convolutions", None)
    return reference_name(convolutions[0][0].kernel) if convolutions else ""


def _with_channels(kernel, wanted, extra_channels):
    """Returns a kernel (k, k, C, F) with `wanted` in place of C channels."""
    given = kernel.shape[2]
    if extra_channels == ZERO:
        if wanted < given:
            raise UserError(f"extra_channels={ZERO}: expected {MEAN}, since {given} channels become {wanted}")
        return np.pad(kernel, [(0, 0), (0, 0), (0, wanted - given), (0, 0)])
    mean = kernel.mean(axis=2, keepdims=True)
    kept = [kernel] if wanted > given else []
    added = np.repeat(mean, wanted - given if wanted > given else wanted, axis=2)
    return np.concatenate([*kept, added], axis=2) * (given / wanted)
