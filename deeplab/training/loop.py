"""The loop around the step: n steps per call of a tf.function, then what is due: log, checkpoint, evaluation."""

import contextlib
import dataclasses
import math
import signal
import time

import tensorflow as tf

from deeplab import devices
from deeplab.errors import UserError
from deeplab.layers.replicas import all_sum
from deeplab.training import state

EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: saved on SIGTERM; the same command goes on


class StepRunner:
    """Runs steps on all replicas; batches come from a (distributed) dataset of (images, labels).

    Args:
      strategy: a tf.distribute strategy.
      step: a `TrainingStep`, created in the strategy's scope.
      batches: the dataset, entered at the step that comes next.
      jit_compile: compile the step with XLA (one replica only).
    """

    def __init__(self, strategy, step, batches, jit_compile=False):
        self.strategy = strategy
        plain = tf.autograph.experimental.do_not_convert(step)
        self.step = tf.function(plain, jit_compile=True) if jit_compile else plain
        self.names = step.result_names
        self.iterator = iter(batches)
        devices.keep_freed_memory()
        self._run = tf.function(self._run_steps)
        self._votes = tf.function(lambda vote: strategy.run(_sum_of_votes, (vote,)), autograph=False)

    def run(self, count):
        """Takes up to `count` steps, fewer if a loss is not finite; returns the last step's {name: float}."""
        results = self._run(self.iterator, tf.constant(count))
        return {name: float(value) for name, value in results.items()}

    def agree(self, flag):
        """Tells whether any process of the training says so; all have to ask at the same step."""
        if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return flag
        votes = self._votes(tf.constant(float(flag)))
        return bool(self.strategy.experimental_local_results(votes)[0] > 0)

    def _run_steps(self, iterator, count):
        results = {name: tf.constant(0.0) for name in self.names}
        for _ in tf.range(count):
            results = self._one(iterator)
            if not tf.math.is_finite(results["loss"]):
                break
        return results

    def _one(self, iterator):
        results = self.strategy.run(self.step, next(iterator))
        return {name: self.strategy.experimental_local_results(value)[0] for name, value in results.items()}


def _sum_of_votes(vote):
    return all_sum(tf.identity(vote))  # an argument has no device, so tf.distribute would not know where to sum


class StopSignal:
    """Remembers that SIGTERM came, so that the loop can save and end."""

    def __init__(self):
        self.asked = False
        with contextlib.suppress(ValueError):  # not in the main thread: nobody sends us signals
            signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_):
        self.asked = True


@dataclasses.dataclass
class TrainingLoop:
    """One training in progress, and who takes part in it.

    Attributes:
      config: a TrainConfig.
      folder: where checkpoints go; None on workers that write nothing.
      model, step: what is trained, and its `TrainingStep`.
      runner: a `StepRunner`.
      progress: a `progress.Progress`, or anything with its methods.
      names_at: step -> names of the records in its batch, for messages.
      evaluate: None, or a `best.Best`.
    """

    config: object
    folder: str | None
    model: object
    step: object
    runner: StepRunner
    progress: object
    names_at: object
    evaluate: object = None
    calls: int = 0  # of the runner, by this process

    def train(self):
        """Trains to the last step; returns None, or EXIT_STOPPED after a SIGTERM. The checkpoint is saved either way.

        Raises:
          UserError: the loss is not finite; the last checkpoint stays as it was.
        """
        total = self.config.schedule.training_number_of_steps
        stop, stopped, saved = StopSignal(), False, time.monotonic()
        now = done = self._now()
        while now < total and not stopped and not (self.evaluate and self.evaluate.ended(now)):
            began, run = time.monotonic(), self.config.run
            with self._profile():
                results = self.runner.run(self._next_stop(now) - now)
            before, now = now, self._now()
            self._check(results, now - 1)
            self.progress.after(now, results, now - before, time.monotonic() - began)
            if self.evaluate and now % run.eval_interval_steps == 0:
                self.evaluate(now)  # before saving: a kill in between repeats it
            if now % run.save_interval_steps == 0 or time.monotonic() - saved > run.save_interval_secs:
                self._save()
                saved, done = time.monotonic(), now
            stopped = self.runner.agree(stop.asked)  # a signal to one machine stops all, at one step
        if now > done:
            self._save()
        return EXIT_STOPPED if stopped and now < total else None

    def _profile(self):
        """Profiles the second call (the first one traces), where profile_logdir is given."""
        self.calls += 1
        if self.config.run.profile_logdir is None or self.calls != 2:
            return contextlib.nullcontext()
        return tf.profiler.experimental.Profile(self.config.run.profile_logdir)

    def _now(self):
        return int(self.step.global_step.numpy())

    def _next_stop(self, now):
        """Returns the first step after `now` at which something is due."""
        run = self.config.run
        intervals = [run.log_steps, run.save_interval_steps, run.eval_interval_steps]
        due = [(now // interval + 1) * interval for interval in intervals if interval]
        return min([*due, self.config.schedule.training_number_of_steps])

    def _check(self, results, step):
        if math.isfinite(results["loss"]):
            return
        names = ", ".join(self.names_at(step))
        parts = ", ".join(f"{name} {value:g}" for name, value in results.items())
        last = state.bundle.latest(self.folder) if self.folder else None
        raise UserError(
            f"the loss is not finite at step {step} ({parts}), batch of: {names}; "
            f"the last checkpoint, {last or 'none yet'}, is untouched. Lower --base_learning_rate "
            f"(now {self.config.schedule.base_learning_rate:g}), or look at these records"
        )

    def _save(self):
        if self.folder is not None:
            prefix = state.save(self.folder, self.model, self.step, self.config.run.keep_checkpoints)
            self.progress.say(f"saved {prefix}")
