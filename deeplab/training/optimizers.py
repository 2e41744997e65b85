"""Optimizers with the arithmetic and the slot names of TensorFlow 1, which the reference was trained with.

Keras' SGD multiplies the gradient by the learning rate before it enters the accumulator, TensorFlow 1 afterwards; the
two differ as soon as the rate changes. The update rules call TensorFlow 1's kernels for a second reason: a kernel
changes a variable in place and in one pass, while the same arithmetic in single operations reads and writes memory
twice as often (docs/benchmarks.md). Gradients arrive summed over the replicas.
"""

import contextlib
from collections.abc import Collection, Mapping

import tensorflow as tf

from deeplab.config.optimization import OptimizerConfig
from deeplab.layers.replicas import own, traced_alone

EMA = "ExponentialMovingAverage"


class Momentum:
    """accum = momentum * accum + gradient; w -= rate * accum (nesterov: w -= rate * (gradient + momentum * accum))."""

    slots = ("Momentum",)

    def __init__(self, config):
        self.momentum, self.nesterov = config.momentum, config.nesterov

    def update(self, weight, gradient, rate, step, accum, decays):
        """Changes the variables `weight` and `accum`."""
        tf.raw_ops.ResourceApplyMomentum(
            var=weight.handle,
            accum=accum.handle,
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


class Adam:
    """Adam. Source: arXiv 1412.6980, end of section 2, where epsilon is added as in TensorFlow 1."""

    slots = ("Adam", "Adam_1")
    beta1, beta2 = 0.9, 0.999

    def __init__(self, config):
        self.epsilon = config.adam_epsilon

    def update(self, weight, gradient, rate, step, first, second, decays):
        """Changes the variables `weight` and both moments; `step` counts from 0."""
        count = tf.cast(step + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=tf.pow(self.beta1, count),
            beta2_power=tf.pow(self.beta2, count),
            lr=rate,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay, w -= rate * weight_decay * w. Source: arXiv 1711.05101."""

    def __init__(self, config):
        super().__init__(config)
        self.weight_decay = config.weight_decay

    def update(self, weight, gradient, rate, step, first, second, decays):
        if decays:
            weight.assign_sub(rate * self.weight_decay * weight)
        super().update(weight, gradient, rate, step, first, second, decays)


RULES: dict[str, type[Momentum | Adam]] = {"momentum": Momentum, "adam": Adam, "adamw": AdamW}


class Optimizer:
    """Updates variables by a rule of `RULES`, and keeps moving averages of them if moving_average_decay is set.

    Create it in the strategy's scope in which the variables were created.

    Args:
      config: an OptimizerConfig.
      variables: {name: variable}.
      decays: names of the variables to which decoupled weight decay applies.
      starts: {name: updates before which nothing of the variable changes, its slots included; None: nothing of it ever
        changes}; 0 for names that are not there. Adam and the moving averages count the updates of the variable
        itself, since its slots begin with its first update.
    """

    def __init__(
        self,
        config: OptimizerConfig,
        variables: dict,
        decays: Collection[str] = (),
        starts: Mapping[str, int | None] | None = None,
    ):
        self.decays, self.starts = frozenset(decays), dict(starts or {})
        self.rule, self.decay = RULES[config.optimizer](config), config.moving_average_decay
        self.variables = {name: _raw(variable) for name, variable in variables.items()}
        kinds = [*self.rule.slots, EMA] if self.decay else self.rule.slots
        self.slots = {kind: {name: _zeros(variable) for name, variable in self.variables.items()} for kind in kinds}
        self.start_averages()

    def start_averages(self):
        """Makes the moving averages equal to the variables, as they are at the start of a training."""
        for name, average in self.slots.get(EMA, {}).items():
            average.assign(self.variables[name])

    @contextlib.contextmanager
    def averaged(self):
        """Inside a `with`, the variables hold their moving averages, if there are any; they are put back afterwards."""
        averages = self.slots.get(EMA, {})
        kept = {name: self.variables[name].numpy() for name in averages}
        for name, average in averages.items():
            self.variables[name].assign(average)
        try:
            yield
        finally:
            for name, value in kept.items():
                self.variables[name].assign(value)

    def state(self):
        """Returns {name in a checkpoint: variable} of all slots."""
        return {f"{name}/{kind}": slot for kind, slots in self.slots.items() for name, slot in slots.items()}

    def apply(self, gradients, rate, step, accept=None):
        """Updates all variables; to be called in a replica, or outside of any strategy.

        Args:
          gradients: {name: gradient, summed over the replicas}.
          rate: learning rate, float32 scalar.
          step: updates so far, int64 scalar.
          accept: None, or a bool scalar; where it is False nothing changes.
        """
        if traced_alone():
            own_copies = {name: tuple(map(own, variables)) for name, variables in self._changed().items()}
            self._update(None, own_copies, gradients, rate, step, accept)
            return
        # tf.distribute calls `update` once for every device, with the copies of the variables on that device.
        context = tf.distribute.get_replica_context()
        context.merge_call(self._apply_to_all, args=(gradients, rate, step, accept))

    def _apply_to_all(self, strategy, gradients, rate, step, accept):
        # All variables are on the same devices, so the first one says where `_update` runs.
        anchor, arguments = next(iter(self.variables.values())), (self._changed(), gradients, rate, step, accept)
        strategy.extended.update(anchor, self._update, args=arguments, group=False)

    def _changed(self):
        """Returns {name: (variable, *slots)}."""
        return {name: (one, *(slots[name] for slots in self.slots.values())) for name, one in self.variables.items()}

    def _update(self, _anchor, variables, gradients, rate, step, accept):
        """Updates {name: (variable, *slots)} of one device.

        A condition is a number on the device that the host has to wait for. So all variables that begin to change at
        the same step share one conditional.
        """
        starts = {name: self.starts.get(name, 0) for name in variables}
        for start in sorted({start for start in starts.values() if start is not None}):
            count, accepted = step, accept
            if start:
                count = step - start
                accepted = count >= 0 if accept is None else accept & (count >= 0)
            changed = {name: variables[name] for name in variables if starts[name] == start}
            self._change_if(accepted, changed, gradients, rate, count)

    def _change_if(self, accepted, variables, gradients, rate, step):
        """Changes {name: (variable, *slots)}: always, or only where the bool scalar `accepted` is True."""

        def change():
            for name, (variable, *slots) in variables.items():
                self._change(name, variable, gradients[name], rate, step, slots)

        if accepted is None:
            change()
        else:
            tf.cond(accepted, change, lambda: None)

    def _change(self, name, variable, gradient, rate, step, slots):
        own = slots[: len(self.rule.slots)]
        self.rule.update(variable, gradient, rate, step, *own, decays=name in self.decays)
        if self.decay:
            count = tf.cast(step, tf.float32)
            # Early averages forget fast, as in tf.train.ExponentialMovingAverage: they still hold initial weights.
            decay = tf.minimum(self.decay, (1 + count) / (10 + count))
            slots[-1].assign(decay * slots[-1] + (1 - decay) * variable)


def _raw(variable):
    """Returns the tf.Variable inside a Keras 3 variable; a variable of tf_keras is a tf.Variable itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def _zeros(variable):
    return tf.Variable(tf.zeros(variable.shape, tf.float32), trainable=False)
