"""Makes a network for inference only: batch norms are folded into the convolutions before them.

A convolution without bias followed by the batch norm `y = (x - mean) * gamma / sqrt(variance + epsilon) + beta` equals
one convolution whose kernel is multiplied by `gamma / sqrt(variance + epsilon)` and whose bias is
`beta - mean * gamma / sqrt(variance + epsilon)`. TensorFlow computes the convolution, this bias and the activation
after it in one pass. Weights are stored in the type that the network computes in.
"""

import contextlib

import numpy as np
from tensorflow import keras

from deeplab.layers.basic import Conv, DepthwiseConv
from deeplab.layers.batch_norm import BatchNorm
from deeplab.layers.folded import Folded
from deeplab.model.views import layers_of, with_layers

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}  # -> Keras' policies
_LOGITS = "logits."  # the names of the last layers begin so


def fold(model, precision="float32"):
    """Returns the same network with batch norms folded. A batch norm that follows no convolution stays.

    The network runs on CPUs and GPUs; inside `layers.folded.dilated_ops` it becomes a graph for other engines.

    Args:
      model: as `build_model` returns it.
      precision: type of weights and activations, one of PRECISIONS. Logits are float32.

    Returns:
      A keras.Model, which `inference.Predictor` takes. It can't be trained.
    """
    layers = {name: layer for name, layer in layers_of(model).items() if isinstance(layer, BatchNorm)}
    norms = {_before(norm): norm for norm in layers.values()}
    readers = _readers(model)
    with policy(precision):
        for name, layer in layers_of(model).items():
            if isinstance(layer, (Conv, DepthwiseConv)):
                norm = norms.get(layer)
                norm = norm if norm is not None and readers[layer] == {norm} else None
                layers[name] = _folded(layer, norm, norm and norm.activation)
                if norm is not None:
                    layers[norm.name] = keras.layers.Activation("linear", name=norm.name)
        return with_layers(model, layers)


@contextlib.contextmanager
def policy(precision):
    """Layers that are created inside the `with` compute in `precision`, one of PRECISIONS."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(PRECISIONS[precision])
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def _before(layer):
    """Returns the layer whose output `layer` was first called with."""
    return layer._inbound_nodes[0].input_tensors[0]._keras_history[0]


def _readers(model):
    """Returns {layer: the set of layers that take its output}."""
    readers = {}
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for tensor in node.input_tensors:
                readers.setdefault(tensor._keras_history[0], set()).add(layer)
    return readers


def _folded(layer, norm, activation=None):
    """Returns one layer that computes what `layer`, the batch norm `norm` (or None) and `activation` compute."""
    bias = getattr(layer, "bias", None)
    shift = 0.0 if bias is None else np.asarray(bias)
    scale = 1.0
    if norm is not None:
        weights = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
        gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in weights)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        shift = beta + (shift - mean) * scale
    # Logits stay in float32, since classes that are nearly equal would get the same number in 16 bits.
    exact = {"dtype": "float32"} if layer.name.startswith(_LOGITS) else {}
    return Folded(layer, scale, shift, activation, name=layer.name, **exact)
