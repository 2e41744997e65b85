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
    norms, readers = {_before(norm): norm for norm in layers.values()}, _readers(model)
    convolutions = [layer for layer in layers_of(model).values() if isinstance(layer, (Conv, DepthwiseConv))]
    norm_of = {layer: norms[layer] for layer in convolutions if readers[layer] == {norms.get(layer)}}
    affine = {layer: _scale_and_shift(layer, norm_of.get(layer)) for layer in convolutions}
    _move_shifts(affine, norm_of, readers)
    with policy(precision):
        for layer in convolutions:
            layers[layer.name] = _folded(layer, *affine[layer], norm_of.get(layer))
        for norm in norm_of.values():
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


def _scale_and_shift(layer, norm):
    """Returns what the output of a convolution is multiplied by, and what is added, by its bias and `norm` or None."""
    bias = getattr(layer, "bias", None)
    shift = 0.0 if bias is None else np.asarray(bias)
    if norm is None:
        return 1.0, shift
    weights = (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    gamma, beta, mean, variance = (np.asarray(weight, np.float64) for weight in weights)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return scale, beta + (shift - mean) * scale


def _move_shifts(affine, norm_of, readers):
    """Moves shifts of depthwise convolutions into the pointwise convolutions after them, where nothing is in between.

    So it is with all separable convolutions of Xception. A GPU adds a bias by reading and writing all features again.

    Args:
      affine: {convolution: (scale, shift)}, which is changed; a shift that has moved becomes None.
      norm_of: {convolution: the batch norm that is folded into it}.
      readers: {layer: the set of layers that take its output}.
    """
    for layer, norm in norm_of.items():
        (reader, *others) = readers.get(norm, [None])
        pointwise = isinstance(reader, Conv) and reader.kernel_size == 1 and not others
        if isinstance(layer, DepthwiseConv) and norm.activation is None and pointwise:
            (scale, shift), (reader_scale, reader_shift) = affine[layer], affine[reader]
            kernel = np.asarray(reader.kernel, np.float64)[0, 0] * reader_scale
            affine[layer], affine[reader] = (scale, None), (reader_scale, reader_shift + shift @ kernel)


def _folded(layer, scale, shift, norm):
    """Returns one layer that computes what `layer`, the batch norm `norm` (or None) and its activation compute."""
    # Logits stay in float32, since classes that are nearly equal would get the same number in 16 bits.
    exact = {"dtype": "float32"} if layer.name.startswith(_LOGITS) else {}
    return Folded(layer, scale, shift, norm and norm.activation, name=layer.name, **exact)
