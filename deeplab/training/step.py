"""One training step: loss over the global batch, gradients, L2, gradient multipliers, clipping, update.

The step runs in every replica, each on its part of the batch. Which variables L2 and the gradient multipliers apply to
follows from the reference's names (model/names.py), so the step refuses a model in which these rules match nothing.
"""

import tensorflow as tf
from tensorflow import keras

from deeplab.config.training import TrainConfig
from deeplab.errors import UserError
from deeplab.layers.batch_norm import freeze_while
from deeplab.layers.replicas import all_sum
from deeplab.layers.stochastic import set_progress, set_random_seed
from deeplab.model.names import last_layers, reference_name
from deeplab.training.loss_scale import REPLICATED, LossScale, NoScale
from deeplab.training.losses import Objective
from deeplab.training.optimizers import Optimizer
from deeplab.training.schedules import learning_rate

_DEPTHWISE_REGULARIZED = ("pnasnet/", "hnasnet/")  # reference: no L2 on depthwise kernels of the other backbones


def is_regularized(name):
    """Tells whether L2 applies to the variable `name`, as in the reference."""
    leaf = name.rpartition("/")[2]
    return leaf in ("weights", "pointwise_weights") or (
        leaf == "depthwise_weights" and name.startswith(_DEPTHWISE_REGULARIZED)
    )


def is_last_layer(name, logits_only=False):
    """Tells whether the variable `name` belongs to the head: its name contains a scope of the head (reference)."""
    return any(scope in name for scope in last_layers(logits_only))


def gradient_multiplier(name, config):
    """Returns the factor by which the gradient of the variable `name` is multiplied.

    Biases learn twice as fast as kernels: the reference kept this convention of Caffe, in which the first versions of
    DeepLab were written. The head may learn faster than the backbone, since it usually starts from random weights.
    """
    last = is_last_layer(name, config.last_layers_contain_logits_only)
    multiplier = config.optimizer.last_layer_gradient_multiplier if last else 1.0
    return 2.0 * multiplier if "biases" in name else multiplier


class TrainingStep:
    """A training step of one model: call it with this replica's part of the batch.

    Create it in the scope of the strategy. `global_step`, an int64 variable, counts the steps and so the batches. Steps
    that the loss scale of float16 skipped are among them; `accepted_updates` does not count these.

    Args:
      model: a keras.Model whose outputs are {name: logits}.
      objective: the loss.
      config: the TrainConfig.
    """

    def __init__(self, model: keras.Model, objective: Objective, config: TrainConfig):
        self.model, self.objective, self.config = model, objective, config
        self.variables = {reference_name(variable): variable for variable in model.trainable_variables}
        self.regularized = [name for name in self.variables if is_regularized(name)]
        self.multipliers = {name: gradient_multiplier(name, config) for name in self.variables}
        starts = {name: self._start(name) for name in self.variables}
        self.optimizer = Optimizer(config.optimizer, self.variables, self.regularized, starts)
        self.global_step = tf.Variable(0, dtype=tf.int64, trainable=False, **REPLICATED)
        self.loss_scale = LossScale() if config.run.mixed_precision == "float16" else NoScale()
        extras = ("regularization", "learning_rate", "gradient_norm", *self.loss_scale.result_names)
        self.result_names = ("loss", *model.output_names, *extras)
        set_random_seed(model, config.run.random_seed)
        frozen = self._is_backbone_frozen if config.optimizer.freeze_backbone_steps else None
        freeze_while(model, frozen, lambda norm: not is_last_layer(reference_name(norm.gamma)))
        if not self.regularized or not any(map(is_last_layer, self.variables)):
            raise ValueError("no variable has a name that L2 or the gradient multipliers know: names have changed")

    def __call__(self, images, labels):
        """Updates the model once.

        Args:
          images: (B, H, W, 3), this replica's part of the batch.
          labels: (B, H, W) class ids.

        Returns:
          {name of `result_names`: float32 scalar}, the same on every replica: "loss" (all parts), the loss of every
          output, "regularization", "learning_rate", "gradient_norm" (before clipping); with float16 also "loss_scale"
          and "skipped_steps" (so far).
        """
        step = self.accepted_updates()  # its value before this update
        total_steps = self.config.schedule.training_number_of_steps
        set_progress(self.model, tf.cast(step, tf.float32) / total_steps)
        gradients, losses = self.gradients(images, labels)
        regularization = self.regularization()
        gradients, norm = self.shaped(gradients, step)
        accept, scale = self.loss_scale.update(norm)
        rate = self.learning_rate(step)
        self.optimizer.apply(gradients, rate, step, accept)
        self.global_step.assign_add(1)
        total = tf.add_n(list(losses.values())) + regularization
        extras = {"regularization": regularization, "learning_rate": rate, "gradient_norm": norm, **scale}
        return {"loss": total, **losses, **extras}

    def gradients(self, images, labels):
        """Returns ({variable: gradient of the losses}, {output: loss}), both summed over the replicas, without L2.

        With gradient_accumulation_steps > 1 the parts of the batch are computed one after the other. A part's loss is
        a mean over its own valid pixels, so its share of the loss is its share of the valid pixels of the batch.
        """
        parts = self.config.optimizer.gradient_accumulation_steps
        valid = [
            tf.reduce_sum(tf.cast(part != self.objective.ignore_label, tf.float32)) for part in _split(labels, parts)
        ]
        valid = all_sum(tf.stack(valid))
        shares = tf.unstack(tf.math.divide_no_nan(valid, tf.reduce_sum(valid))) if parts > 1 else [1.0]
        gradients = losses = None
        for image, label, share in zip(_split(images, parts), _split(labels, parts), shares, strict=True):
            # Waits for the part before, whose activations are then freed. None in place of a list would make the
            # conditionals inside forget that XLA compiles them.
            with tf.control_dependencies(gradients or []):
                more = self._part(tf.identity(image), label, share)
            gradients = more[0] if gradients is None else [a + b for a, b in zip(gradients, more[0], strict=True)]
            losses = more[1] if losses is None else {name: losses[name] + more[1][name] for name in losses}
        gradients = [self.loss_scale.unscale(gradient) for gradient in all_sum(gradients)]
        values = all_sum(tf.stack(list(losses.values())))
        return dict(zip(self.variables, gradients, strict=True)), dict(zip(losses, tf.unstack(values), strict=True))

    def _part(self, images, labels, share):
        """Returns ([gradient of each variable], {output: loss}) of one part of this replica's batch, times `share`."""
        with tf.GradientTape() as tape:
            outputs = self.model(images, training=True)
            losses = self.objective(outputs, labels, self.accepted_updates())
            losses = {name: loss * share for name, loss in losses.items()}
            scaled = self.loss_scale.scale(tf.add_n(list(losses.values())))
        weights = list(self.variables.values())
        gradients = tape.gradient(scaled, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return gradients, losses

    def regularization(self):
        """Returns the L2 loss of all regularised variables, weight_decay * sum(w^2) / 2; 0 for adamw (decoupled)."""
        if self.config.optimizer.optimizer == "adamw":
            return tf.constant(0.0)
        return self.config.optimizer.weight_decay * tf.add_n(
            [tf.nn.l2_loss(tf.convert_to_tensor(self.variables[name])) for name in self.regularized]
        )

    def shaped(self, gradients, step):
        """Adds the gradient of L2, then applies multipliers and clipping; returns (gradients, norm before clipping).

        The gradient of L2 is weight_decay * w. It is added once, here, where the gradients are already summed over the
        replicas: as a term of the loss, every replica would add it again.
        """
        config = self.config.optimizer
        if config.optimizer != "adamw":
            for name in self.regularized:
                gradients[name] += config.weight_decay * tf.convert_to_tensor(self.variables[name])
        for name, multiplier in self.multipliers.items():
            if multiplier != 1.0:
                gradients[name] *= multiplier
        if config.freeze_backbone_steps:
            # The optimizer leaves frozen variables alone. Their gradients must not enter the norm and the clipping.
            frozen = step < config.freeze_backbone_steps
            gradients = {
                name: g if is_last_layer(name) else tf.where(frozen, tf.zeros_like(g), g)
                for name, g in gradients.items()
            }
        norm = tf.linalg.global_norm(list(gradients.values()))
        if config.gradient_clip_norm is not None:
            factor = tf.minimum(1.0, tf.math.divide_no_nan(config.gradient_clip_norm, norm))
            gradients = {name: gradient * factor for name, gradient in gradients.items()}
        return gradients, norm

    def learning_rate(self, step):
        """Returns the learning rate at `step`; with adam it is constant, as in the reference."""
        if self.config.optimizer.optimizer == "adam":
            return tf.constant(self.config.optimizer.adam_learning_rate)
        return learning_rate(self.config.schedule, step)

    def accepted_updates(self):
        """Returns how many steps have changed the weights, an int64 scalar; all schedules follow it."""
        return self.loss_scale.accepted(tf.identity(self.global_step))

    def _start(self, name):
        """Returns the number of updates after which the variable `name` begins to change; None if it never changes."""
        if not self.multipliers[name]:
            return None
        return 0 if is_last_layer(name) else self.config.optimizer.freeze_backbone_steps

    def _is_backbone_frozen(self):
        return self.accepted_updates() < self.config.optimizer.freeze_backbone_steps

    def can_go_on(self, results):
        """Tells, as a bool scalar, whether training makes sense after a step with these results."""
        return tf.math.is_finite(results["loss"]) & tf.logical_not(self.loss_scale.is_used_up(results))

    def updates(self):
        """Returns the number of steps so far, an int: the step that comes next."""
        return int(self.global_step.numpy())

    def state(self):
        """Returns {name in a checkpoint: variable} of everything that the step changes besides the model."""
        return {"global_step": self.global_step, **self.optimizer.state(), **self.loss_scale.state()}


def _split(tensor, parts):
    """Returns a batch in `parts` equal parts. They are slices, since GPUs have no kernel that splits uint8."""
    if parts == 1:
        return [tensor]
    if tensor.shape[0] % parts:
        raise UserError(
            f"gradient_accumulation_steps={parts}: expected a divisor of the {tensor.shape[0]} images of each device"
        )
    images = tensor.shape[0] // parts
    return [tensor[i * images : (i + 1) * images] for i in range(parts)]
