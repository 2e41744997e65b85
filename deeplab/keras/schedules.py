"""Learning rates for Keras' optimizers: those of training, slow start included."""

import dataclasses

from tensorflow import keras

from deeplab.config.optimization import ScheduleConfig
from deeplab.errors import UserError
from deeplab.files import nearest
from deeplab.training.schedules import learning_rate

_FIELDS = tuple(field.name for field in dataclasses.fields(ScheduleConfig))


@keras.utils.register_keras_serializable("deeplab")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of `deeplab train` as a function of the step: by default poly, which falls to 0.

    Args:
      options: the options of `deeplab train --help`, "Learning rate", with the same names and defaults:
        `base_learning_rate` (1e-4), `training_number_of_steps` (30000), `learning_policy` ("poly", "step", "cosine" or
        "piecewise"), `learning_power` (0.9), `end_learning_rate`, `slow_start_step`, `slow_start_learning_rate`,
        `slow_start_burnin_type` and so on. A step is a batch: epochs times batches of an epoch.

    Raises:
      UserError: an option is not known, or its value is illegal.
    """

    def __init__(self, **options):
        super().__init__()
        for option in options:
            if option not in _FIELDS:
                known = nearest.hint(option, _FIELDS) or f"; expected {', '.join(_FIELDS)}"
                raise UserError(f"{option}={options[option]!r}: no option of a learning rate{known}")
        self.options = ScheduleConfig(**options)

    def __call__(self, step):
        """Returns the learning rate at `step`, a float32 scalar."""
        return learning_rate(self.options, step)

    def get_config(self):
        return dataclasses.asdict(self.options)
