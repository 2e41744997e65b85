"""What a training leaves on disk and finds again: checkpoints of everything that a step changes."""

import numpy as np

from deeplab.checkpoints import bundle
from deeplab.errors import UserError
from deeplab.model.names import assign, reference_name


def variables(model, step):
    """Returns {name in a checkpoint: variable} of all that a `TrainingStep` changes, with the model."""
    found = {reference_name(variable): variable for variable in model.variables}
    if len(found) != len(model.variables):
        raise ValueError("two variables of the model have one name; a checkpoint would lose one of them")
    return {**found, **step.state()}


def values(model, step):
    """Returns {name: NumPy array} of all `variables`."""
    return {name: np.asarray(variable.numpy()) for name, variable in variables(model, step).items()}


def save(folder, model, step, keep):
    """Writes the checkpoint of the present step and removes all but the newest `keep`; returns its prefix."""
    prefix = bundle.prefix_for(folder, int(step.global_step.numpy()))
    bundle.write(prefix, values(model, step))
    bundle.prune(folder, keep)
    return prefix


def resume(folder, model, step, say=print):
    """Restores the newest checkpoint in `folder` that is whole; returns its step, or None where there is none.

    A damaged checkpoint is named and passed over.

    Raises:
      UserError: the checkpoint is of another training, or all are damaged.
    """
    candidates = bundle.prefixes(folder)
    for prefix in reversed(candidates):
        try:
            found = bundle.read(prefix)
        except UserError as error:
            say(f"{error}; falling back to the checkpoint before it")
            continue
        _assign(prefix, found, variables(model, step))
        return int(step.global_step.numpy())
    if candidates:
        raise UserError(f"train_logdir={folder}: all its checkpoints are damaged; choose another folder or remove them")
    return None


def _assign(prefix, found, wanted):
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(
            f"{prefix}: lacks {missing[0]}, so no training can be resumed from it exactly; to start from its weights "
            "give it as --tf_initial_checkpoint with another --train_logdir"
        )
    for name, variable in wanted.items():
        if tuple(found[name].shape) != tuple(variable.shape):
            raise UserError(f"{prefix}: {name} has shape {found[name].shape}, this network's {tuple(variable.shape)}")
    for name, variable in wanted.items():
        assign(variable, found[name])
