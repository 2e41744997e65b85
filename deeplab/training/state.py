"""The checkpoints of a training: all that a step changes, so that a resumed training goes on exactly."""

import dataclasses

import numpy as np
import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.errors import UserError
from deeplab.files import escaping
from deeplab.model.names import assign, reference_name
from deeplab.training.loss_scale import SKIPPED_STEPS
from deeplab.training.step import TrainingStep


def variables(step):
    """Returns {name in a checkpoint: variable} of everything that a `TrainingStep` changes.

    These are the weights and moving averages of the model, the random state of its layers, the slots of the optimizer
    and the number of updates.
    """
    found = {reference_name(variable): variable for variable in step.model.variables}
    if len(found) != len(step.model.variables):
        raise ValueError("two variables of the model have one name; a checkpoint would lose one of them")
    return {**found, **step.state()}


def values(step):
    """Returns {name in a checkpoint: NumPy array} of all `variables`."""
    return {name: np.asarray(variable.numpy()) for name, variable in variables(step).items()}


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training in one folder.

    Attributes:
      folder: the train_logdir, or the folder of the best checkpoint inside it.
      step: the `TrainingStep` that is saved and restored, with its model.
      keep: how many of the newest checkpoints stay in the folder.
      writes: False in every process but one of a training on several machines: all of them hold the same values.
    """

    folder: str
    step: TrainingStep
    keep: int
    writes: bool = True

    def save(self):
        """Writes a checkpoint and removes the oldest ones; returns its prefix, or None where nothing is written."""
        if not self.writes:
            return None
        prefix = bundle.prefix_for(self.folder, self.step.updates())
        bundle.write(prefix, values(self.step))
        bundle.prune(self.folder, self.keep)
        return prefix

    def latest(self):
        """Returns the prefix of the newest complete checkpoint, or None."""
        return bundle.latest(self.folder)

    def path(self, name):
        """Returns the path of another file in the folder."""
        return tf.io.gfile.join(self.folder, name)

    def resume(self):
        """Restores the newest checkpoint that is undamaged; returns its step, or None if the folder has no checkpoint.

        A damaged checkpoint is reported and passed over.

        Raises:
          UserError: the checkpoint belongs to another training, or all checkpoints are damaged.
        """
        prefixes = bundle.prefixes(self.folder)
        for prefix in reversed(prefixes):
            try:
                found = bundle.read(prefix)
            except UserError as error:
                print(escaping.terminal(f"{error}; falling back to the checkpoint before it"))
                continue
            _assign(prefix, found, variables(self.step))
            return self.step.updates()
        if prefixes:
            raise UserError(
                f"train_logdir={self.folder}: all its checkpoints are damaged; choose another folder or remove them"
            )
        return None


def _assign(prefix, found, wanted):
    """Assigns {name: array} to {name: variable}; checks everything before it changes the first variable."""
    # Older versions did not count the skipped steps: the count goes on from 0.
    wanted = {name: variable for name, variable in wanted.items() if name in found or name != SKIPPED_STEPS}
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
