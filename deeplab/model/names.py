"""The reference's variable names. A layer is named after its scope, with "." where the reference has "/".

Keras forbids "/" in layer names and the reference uses no ".", so names translate both ways without a table:
layer `xception_65.entry_flow.conv1_1`, variable `weights` <-> `xception_65/entry_flow/conv1_1/weights`.
"""

# Our layers keep these, the reference does not know them: updates of a batch norm, draws of a dropout, progress of a
# drop path.
BOOKKEEPING = ("/updates", "/draws", "/progress")


def layer_name(scope):
    """Returns the name of the Keras layer for a scope of the reference."""
    return scope.replace("/", ".")


def reference_name(variable):
    """Returns the name that the reference gives to a variable of the model, e.g. `MobilenetV2/Conv/weights`."""
    return path_of(variable).replace(".", "/")


def is_bookkeeping(name):
    """Tells whether `name` is a counter or random state of ours, which no checkpoint of the reference has."""
    return name.endswith(BOOKKEEPING)


# What a network has beyond its backbone. The reference leaves these out with initialize_last_layer=False (variables
# whose name begins so) and trains them with last_layer_gradient_multiplier (variables whose name contains one).
LAST_LAYERS = ("logits", "image_pooling", "aspp", "concat_projection", "decoder", "meta_architecture")


def last_layers(logits_only=False):
    """Returns the scopes of the last layers; only the logits with `last_layers_contain_logits_only`."""
    return LAST_LAYERS[:1] if logits_only else LAST_LAYERS


def assign(variable, array):
    """Sets a variable to a NumPy array of its shape; the values are cast to the variable's type."""
    variable.assign(array.astype(getattr(variable.dtype, "as_numpy_dtype", variable.dtype)))  # tf_keras, Keras 3


def path_of(variable):
    """Returns the name that tells a variable from all others of its model, e.g. `MobilenetV2.Conv/weights`."""
    return getattr(variable, "path", None) or variable.name.split(":")[0]  # Keras 3, tf_keras
