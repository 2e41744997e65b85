"""Activations, by the names that the networks use for them. Each keeps the type and shape of its input."""

import tensorflow as tf

ACTIVATIONS = {
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3) * (1 / 6),
    "gate": lambda x: tf.nn.relu6(x + 3) * 0.16667,  # the reference's literal, not 1/6
    "sigmoid": tf.nn.sigmoid,
    "clip6": lambda x: tf.clip_by_value(x, -6, 6),
}


def activated(x, name):
    """Returns x after the activation of that name; None leaves x as it is."""
    return x if name is None else ACTIVATIONS[name](x)


def slope_times(dy, x, name):
    """Returns the gradient by x of `activated(x, name)`, whose own gradient is dy."""
    return dy if name is None else gradient_by(lambda x: activated(x, name), x, dy)


def gradient_by(function, x, dy):
    """Returns the gradient by x of `function(x)`, whose own gradient is dy."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, output_gradients=dy)
