"""Variables of a model, under Keras 3 and tf_keras."""


def assign(variable, array):
    """Sets a variable to a NumPy array of its shape; the values are cast to the variable's type."""
    variable.assign(array.astype(getattr(variable.dtype, "as_numpy_dtype", variable.dtype)))  # tf_keras, Keras 3


def path(variable):
    """Returns the name that tells a variable from all others of its model, e.g. `MobilenetV2.Conv/weights`."""
    return getattr(variable, "path", None) or variable.name.split(":")[0]  # Keras 3, tf_keras
