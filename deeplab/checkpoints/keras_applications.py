"""Reads ImageNet weights of keras.applications.MobileNetV2: the same network with other names."""

import os
import re

from tensorflow import keras

from deeplab.checkpoints import hdf5
from deeplab.errors import UserError, one_line

_BLOCK = re.compile(r"(block_(?P<index>\d+)|expanded_conv)_(?P<part>expand|depthwise|project)(_BN)?")
_OUTER = {"Conv1": "Conv", "bn_Conv1": "Conv", "Conv_1": "Conv_1", "Conv_1_bn": "Conv_1", "predictions": "Logits"}
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")  # in the order in which Keras saves them
_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)  # widths for which weights are published


def read(path):
    """Returns {reference name: array} of the weights of a keras.applications.MobileNetV2.

    Args:
      path: an .h5 or .weights.h5 file, as Keras 2 or 3 saves it or as "imagenet" is downloaded.

    Raises:
      UserError: the file is damaged, or holds the weights of another network.
    """
    try:
        arrays = hdf5.arrays(path)
    except OSError as error:
        raise UserError(f"{path}: not an HDF5 file, or damaged ({' '.join(str(error).split())})") from None
    values = {}
    for layer, leaf, array in arrays:
        scope = _scope(layer)
        if scope is None:
            raise UserError(f"{path}: layer {layer!r} belongs to no MobileNetV2 of keras.applications")
        values[f"MobilenetV2/{scope}/{_leaf(layer, leaf)}"] = array
    if "MobilenetV2/Conv/weights" not in values:
        raise UserError(f"{path}: no weights of keras.applications.MobileNetV2 (its first layer, Conv1, is missing)")
    return values


def imagenet_file(config):
    """Downloads (once, into the cache of Keras) the ImageNet weights for a network; returns the file's path.

    Args:
      config: the `ModelConfig`. Its model_variant has to be mobilenet_v2 and its depth_multiplier a published one.
        Unless that is 1, divisible_by has to be 8, because Keras rounds channels to multiples of 8.

    Raises:
      UserError: there are no weights for this network, or they can't be downloaded.
    """
    alpha = config.depth_multiplier
    if config.model_variant != "mobilenet_v2":
        raise UserError(f"backbone_weights='imagenet' is for mobilenet_v2, not model_variant={config.model_variant!r}")
    if alpha not in _ALPHAS or (alpha != 1 and config.divisible_by != 8):
        raise UserError(
            f"backbone_weights='imagenet' with depth_multiplier={alpha}, divisible_by={config.divisible_by}: expected "
            f"one of {', '.join(map(str, _ALPHAS))}, with divisible_by=8 unless it is 1"
        )
    origin = address(config)
    name = origin.rpartition("/")[2]
    try:
        return keras.utils.get_file(name, origin, cache_subdir="models")
    except Exception as error:  # classes of urllib and others; all of them mean that the file cannot be had
        reason = one_line(error)
        place = os.path.join(os.environ.get("KERAS_HOME") or os.path.join("~", ".keras"), "models", name)
        raise UserError(
            f"backbone_weights='imagenet': {reason}; put the file of {origin} at {place}, or name a local weights file"
        ) from None


def address(config):
    """Returns the address of the ImageNet weights of a `ModelConfig`, whose backbone has to be mobilenet_v2."""
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{config.depth_multiplier}_224_no_top.h5"
    return f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{name}"


def _scope(layer):
    """Returns the scope below MobilenetV2 of a Keras layer, e.g. `expanded_conv_3/expand`; None for unknown ones."""
    if layer in _OUTER:
        return _OUTER[layer]
    found = _BLOCK.fullmatch(layer)
    if not found:
        return None
    block = f"expanded_conv_{found['index']}" if found["index"] else "expanded_conv"
    return f"{block}/{found['part']}"


def _leaf(layer, leaf):
    """Returns the reference's variable name for variable `leaf` (Keras' name, or its index) of a Keras layer."""
    if layer.endswith("_BN") or layer in ("bn_Conv1", "Conv_1_bn"):
        return f"BatchNorm/{_NORM[int(leaf)] if leaf.isdigit() else leaf}"
    if leaf in ("bias", "1"):
        return "biases"
    return "depthwise_weights" if layer.endswith("_depthwise") else "weights"
