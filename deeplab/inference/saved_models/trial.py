"""Tries a SavedModel that others wrote in a process of its own, before this process opens it."""

import contextlib

import tensorflow as tf

from deeplab.errors import UserError, one_line
from deeplab.files import limited, manifest
from deeplab.inference import export_folder
from deeplab.inference.saved_models import loading

# What a process needs that opens a SavedModel: TensorFlow itself, and for each byte of the folder. TensorFlow's loader
# copies the weights into every function that calls another.
_MEMORY, _MEMORY_PER_BYTE, _SECONDS = 3 << 29, 40, 600
_tried: set[str] = set()  # what `manifest.describe` returned for SavedModels that a child of this process opened
_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_TRIAL_SIDE = 65  # pixels of the image of a trial


def require_usable(path):
    """Refuses a SavedModel whose files are not as model.json records them, and one that ends the process that opens it.

    Files that fit the record were written by `deeplab.export`. Without a record, as in exports of other programs, a
    child process opens the SavedModel and runs it once, since TensorFlow ends the process for some damaged graphs.

    This is no protection against a SavedModel that is meant to do harm: it is a program, and the child runs it, too.
    """
    recorded = export_folder.recorded_files(path)
    if recorded:
        try:
            difference = manifest.difference(path.rstrip("/"), recorded, hashes=True)
        except (OSError, tf.errors.OpError) as error:
            difference = one_line(error, 200)
        if difference:
            raise UserError(f"{path} is not whole: {difference}; copy it again, or export it again")
        return
    found = manifest.describe(path.rstrip("/"))
    content = repr(found)
    if content in _tried:
        return
    print(f"{path}: nothing records the content of its files, so a process of its own opens it first", flush=True)
    size = sum(file[manifest.SIZE] for file in found.values())
    try:
        limited.run(__name__, [path], _MEMORY + _MEMORY_PER_BYTE * size, _SECONDS)
    except limited.Failed as error:
        raise UserError(
            f"{path}: not a SavedModel that can be used ({error}); name an --export_path or DIR/VERSION"
        ) from None
    _tried.add(content)


def _trial(path):
    """Opens a SavedModel and, if it takes images, runs it once; raises what opening it raises.

    An error of the run itself does no harm. Whoever runs the model next gets it, too, and tells more about it.
    """
    signatures, functions = loading.open_saved_model(path)
    inputs = signatures[_SIGNATURE].inputs if _SIGNATURE in signatures else {}
    spec = inputs.get("images")
    if len(inputs) != 1 or spec is None or len(spec.shape or ()) != 4:
        return
    batch, *size, channels = spec.shape
    shape = (batch or 1, *(side or _TRIAL_SIDE for side in size), channels or 3)
    with contextlib.suppress(tf.errors.OpError):
        functions.call(_SIGNATURE, {"images": tf.zeros(shape, tf.as_dtype(spec.dtype))})


if __name__ == "__main__":
    limited.serve(_trial)
