"""How layers add weights: in float32 whatever the compute type, equal on all replicas, from seeded initialisers."""

import random

import tensorflow as tf
from tensorflow import keras

_KERAS_3 = hasattr(keras, "ops")  # else tf_keras, under TF_USE_LEGACY_KERAS=1
FLOAT32 = {"dtype": "float32", "autocast" if _KERAS_3 else "experimental_autocast": False}  # whatever the policy


def replicated_weight(layer, name, shape, initializer, dtype="float32"):
    """Adds a weight that is not learned. Every replica must compute the same value for it, and assigns its own copy."""
    aggregation = "none" if _KERAS_3 else tf.VariableAggregation.NONE
    settings = {**FLOAT32, "dtype": dtype, "aggregation": aggregation, "trainable": False}
    return layer.add_weight(name=name, shape=shape, initializer=initializer, **settings)


def seeded(initializer):
    """Returns a copy with a seed drawn from Python's generator, which `keras.utils.set_random_seed` seeds.

    A Keras 3 initializer draws its seed when it is made, and then gives equal layers equal weights.
    """
    initializer = keras.initializers.get(initializer)
    return type(initializer).from_config({**initializer.get_config(), "seed": random.randrange(2**31)})


def serialized(initializer):
    """Returns what the configuration of a layer says of its initializer: a name, or a dict that Keras reads again."""
    return initializer if isinstance(initializer, (str, dict)) else keras.initializers.serialize(initializer)
