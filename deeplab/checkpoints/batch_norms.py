"""Gives batch norms back what folding took from them; the function of the network stays the same."""

import numpy as np
import tensorflow as tf
from tensorflow import keras

from deeplab.errors import UserError
from deeplab.layers.batch_norm import BatchNorm
from deeplab.model.names import reference_name

SETTLED = 1e6  # updates of the moving averages; after so many the warm-up of their decay is over


def batch_norms(model):
    """Returns the model's `BatchNorm` layers."""
    return [layer for layer in model.layers if isinstance(layer, BatchNorm)]


def restart_averages(model):
    """Lets the moving averages of all batch norms begin anew; returns the number of batch norms.

    The decay of the averages warms up again, so that the next training steps replace them. The averages of a training
    with other crops are wrong for a layer that saw another share of padding there.
    """
    norms = batch_norms(model)
    for norm in norms:
        norm.update_count.assign(0)
    return len(norms)


def unfolded(biases, model):
    """Turns the biases of folded convolutions into variables of a model that has batch norms.

    Folding multiplies the kernel of a convolution by the scale of its batch norm and leaves the offset as a bias. The
    statistics are lost, so the batch norm of the model gets ones that make its scale 1 and its offset the bias.

    Args:
      biases: {scope of a convolution: bias (C,)}.
      model: as `build_model` returns it.

    Returns:
      {reference name: array}: `biases` for convolutions that have biases in the model, too; for the others gamma, beta,
      moving_mean and moving_variance of the batch norm that follows.
    """
    own_biases = {name for name in map(reference_name, model.variables) if name.endswith("/biases")}
    values = {f"{scope}/biases": bias for scope, bias in biases.items() if f"{scope}/biases" in own_biases}
    for norm in batch_norms(model):
        bias = biases.get(_convolution_scope(norm))
        if bias is not None:
            one = np.ones_like(bias)
            values[reference_name(norm.gamma)] = one
            values[reference_name(norm.beta)] = bias
            values[reference_name(norm.moving_mean)] = 0 * one
            values[reference_name(norm.moving_variance)] = one - np.float32(norm.epsilon)
    return values


def _convolution_scope(norm):
    """Returns the scope of the convolution whose output `norm` normalises."""
    history = _inputs(norm)._keras_history
    producer = getattr(history, "operation", None) or history.layer  # Keras 3, tf_keras
    return producer.name.replace(".", "/")


def _inputs(layer):
    """Returns the symbolic input of a layer: its first one, if several scales of an image pyramid share the layer."""
    return layer.get_input_at(0) if hasattr(layer, "get_input_at") else layer._inbound_nodes[0].input_tensors[0]


def recalibrate_batch_norm(model, batches):
    """Measures the statistics of every batch norm's input and rewrites its variables; the function stays the same.

    The statistics of batch norms that were folded are lost, see `unfolded`. Training with fine_tune_batch_norm needs
    real ones: otherwise the first step would normalise by other statistics than the network was trained with.

    Args:
      model: as `build_model` returns it.
      batches: iterable of images (B, H, W, 3) as the model takes them; ten to thirty batches of the training data.

    Returns:
      The number of batch norms.
    """
    norms = batch_norms(model)
    probe = keras.Model(model.input, [_inputs(norm) for norm in norms])
    measure = tf.function(lambda images: [_moments(x) for x in tf.nest.flatten(probe(images, training=False))])
    count, moments = 0, None
    for images in batches:
        new = [np.asarray(pair, np.float64) for pair in measure(tf.convert_to_tensor(images))]
        moments = new if moments is None else [a + b for a, b in zip(moments, new, strict=True)]
        count += 1
    if not count:
        raise UserError("recalibrate_batch_norm: there are no images; give a data set with at least one batch")
    for norm, moment in zip(norms, moments, strict=True):
        mean, square = moment / count
        _rewrite(norm, mean, np.maximum(square - mean**2, 0))
    return len(norms)


def _moments(x):
    """Returns (2, C): the means of x and of its square over a batch (B, h, w, C)."""
    x = tf.cast(x, tf.float64)
    return tf.stack([tf.reduce_mean(x, [0, 1, 2]), tf.reduce_mean(tf.square(x), [0, 1, 2])])


def _rewrite(norm, mean, variance):
    """Gives a batch norm new statistics; gamma and beta change so that y stays the same function of x."""
    gamma, beta, old_mean, old_variance = (
        np.asarray(v, np.float64) for v in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    )
    scale = gamma / np.sqrt(old_variance + norm.epsilon)
    norm.gamma.assign((scale * np.sqrt(variance + norm.epsilon)).astype(np.float32))
    norm.beta.assign((beta + (mean - old_mean) * scale).astype(np.float32))
    norm.moving_mean.assign(mean.astype(np.float32))
    norm.moving_variance.assign(variance.astype(np.float32))
    norm.update_count.assign(SETTLED)
