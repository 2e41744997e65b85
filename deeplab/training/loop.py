"""The loop around the training step: n steps per call of a tf.function; log, checkpoint and evaluation in between."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable

import tensorflow as tf

from deeplab import devices
from deeplab.errors import UserError
from deeplab.layers import hardware
from deeplab.layers.replicas import all_sum
from deeplab.training.best import BestCheckpoint
from deeplab.training.progress import Progress
from deeplab.training.state import Checkpoints
from deeplab.training.step import TrainingStep
from deeplab.training.stop_signal import StopSignal

EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: saved after SIGTERM; the same command resumes the training


class StepRunner:
    """Runs training steps on all replicas.

    Args:
      strategy: the tf.distribute strategy.
      step: a `TrainingStep` that was created in the scope of the strategy.
      batches: distributed dataset of (images, labels), see `feeding.distribute`; its first batch is that of the step
        that comes next.
      jit_compile: compile the step with XLA; `compilation.refuse` says on which replicas that is possible.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        step: TrainingStep,
        batches: tf.data.Dataset,
        jit_compile: bool = False,
    ):
        self.strategy, self.step, self.jit_compile = strategy, step, jit_compile
        # AutoGraph has nothing to convert in the step, and tracing is faster without it; `_run_steps` needs it.
        traced = tf.autograph.experimental.do_not_convert(step)
        self._traced_step = _compiled(traced) if jit_compile else traced
        self._batches, self._iterator = batches, None
        self._run = tf.function(self._run_steps)
        self._votes = tf.function(lambda vote: strategy.run(_sum_of_votes, (vote,)), autograph=False)

    def run(self, count):
        """Takes `count` steps, or fewer if training cannot go on; returns {name: float} of the last step."""
        if self._iterator is None:
            self._iterator = devices.iterate(self._batches)
        results = self._run(self._iterator, tf.constant(count))
        return {name: float(value) for name, value in results.items()}

    def rewind(self):
        """Makes the next call of `run` begin with the first batch again. What was traced and compiled stays."""
        self._iterator = None

    def like(self, jit_compile):
        """Returns a runner of the same steps that compiles them or not; it goes on with the batches of this runner."""
        other = StepRunner(self.strategy, self.step, self._batches, jit_compile)
        other._iterator = self._iterator
        return other

    def in_any_process(self, flag):
        """Tells whether `flag` is True in any process of the training; every process has to ask after the same step."""
        if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return flag
        votes = self._votes(tf.constant(float(flag)))
        return bool(self.strategy.experimental_local_results(votes)[0] > 0)

    def _run_steps(self, iterator, count):
        """Takes the steps in one graph: returning to Python after each would let the devices wait."""
        results = {name: tf.constant(0.0) for name in self.step.result_names}
        for _ in tf.range(count):
            results = self._run_step(iterator)
            if not self.step.can_go_on(results):
                break
        return results

    def _run_step(self, iterator):
        results = self.strategy.run(self._traced_step, next(iterator))
        return {name: self.strategy.experimental_local_results(value)[0] for name, value in results.items()}


def _compiled(step):
    """Returns the function that XLA compiles. Layers are told of it, because other forms of theirs are fast then."""

    def compiled_step(images, labels):
        with hardware.compiled():
            return step(images, labels)

    return tf.function(compiled_step, jit_compile=True, autograph=False)


def _sum_of_votes(vote):
    return all_sum(tf.identity(vote))  # an argument has no device, so tf.distribute would not know where to sum


@dataclasses.dataclass
class TrainingLoop:
    """A training: runs steps, and logs, saves and evaluates between them.

    Attributes:
      runner: runs the steps.
      checkpoints: where the training is saved.
      progress: reports on the steps.
      names_at: step -> names of the records in its batch, for messages.
      best: evaluates the model and keeps the best checkpoint, or None.
      before_saving: raises a UserError if what was trained since the last checkpoint must not be saved.
    """

    runner: StepRunner
    checkpoints: Checkpoints
    progress: Progress
    names_at: Callable[[int], list[str]]
    best: BestCheckpoint | None = None
    before_saving: Callable[[], None] = lambda: None
    _calls: int = dataclasses.field(default=0, init=False)  # of the runner, by this process

    @property
    def config(self):
        """The TrainConfig."""
        return self.runner.step.config

    def train(self):
        """Trains to the last step; returns None, or EXIT_STOPPED after a SIGTERM. The checkpoint is saved either way.

        Raises:
          UserError: the loss is not finite, or float16 holds no gradient; the last checkpoint stays as it was.
          KeyboardInterrupt: Ctrl-C ended the training; the checkpoint is saved, unless it was pressed twice.
        """
        first = self.runner.step.updates()
        with StopSignal() as stop:
            stopped = self._take_steps(stop)
        step, total = self.runner.step.updates(), self.config.schedule.training_number_of_steps
        reason = self.why_over(step)
        if stopped and not reason:
            self.progress.say(
                f"Stopped after step {step} of {total}, which is saved; the same command goes on from there"
            )
            if stop.interrupted:
                raise KeyboardInterrupt
            return EXIT_STOPPED
        if step < total or step == first:
            self.progress.say(reason)
        return None

    def why_over(self, step):
        """Returns why there is nothing to train after `step` updates, a text for the user; None if there is."""
        folder, total = self.config.train_logdir, self.config.schedule.training_number_of_steps
        if step > total:
            return (
                f"{folder} has done {step} steps, more than --training_number_of_steps={total}: nothing is trained, "
                "and config.json stays as it was"
            )
        if step == total:
            return f"{folder} has done all of its {total} steps; a larger --training_number_of_steps goes on"
        return self.best.why_over(step) if self.best else None

    def _take_steps(self, stop):
        """Trains, logs, evaluates and saves until it is over or `stop`, a `StopSignal`, came; tells whether it came."""
        run, stopped, saved_at = self.config.run, False, time.monotonic()
        step = saved_step = self.runner.step.updates()
        while not stopped and self.why_over(step) is None:
            began, before = time.monotonic(), step
            stop.next_look = self._next_stop(step)
            with self._profile():
                results = self.runner.run(stop.next_look - step)
            step = self.runner.step.updates()
            self.check(results, step - 1)
            self.progress.after(step, results, step - before, time.monotonic() - began)
            # Evaluation comes before saving: a process that is killed in between evaluates again when it is resumed.
            if self.best and step % run.eval_interval_steps == 0:
                self.best.evaluate(step)
            if step % run.save_interval_steps == 0 or time.monotonic() - saved_at > run.save_interval_secs:
                self._save()
                saved_at, saved_step = time.monotonic(), step
            # A signal to one machine stops all of them after the same step: the others would wait for its gradients.
            stopped = self.runner.in_any_process(stop.received)
        if step > saved_step:
            self._save()
        return stopped

    def _profile(self):
        """Profiles the second call of the runner if profile_logdir is given; TensorFlow traces in the first call."""
        self._calls += 1
        if self.config.run.profile_logdir is None or self._calls != 2:
            return contextlib.nullcontext()
        return tf.profiler.experimental.Profile(self.config.run.profile_logdir)

    def _next_stop(self, step):
        """Returns the first step after `step` at which something is due."""
        run = self.config.run
        intervals = [run.log_steps, run.save_interval_steps, run.eval_interval_steps]
        due = [(step // interval + 1) * interval for interval in intervals if interval]
        return min([*due, self.config.schedule.training_number_of_steps])

    def check(self, results, step):
        """Ends a training that cannot go on, before it replaces its last good checkpoint."""
        if self.runner.step.can_go_on(results):
            return
        names = ", ".join(self.names_at(step))
        parts = ", ".join(f"{name} {value:g}" for name, value in results.items())
        what, change = "the loss is not finite", "a lower --base_learning_rate"
        change += f" (now {self.config.schedule.base_learning_rate:g})"
        if math.isfinite(results["loss"]):
            what = "mixed_precision=float16: the gradients overflow whatever the loss is scaled by"
            change = "--mixed_precision=bfloat16 or none"
        last = self.checkpoints.latest() or (self.best and self.best.checkpoints.latest())
        way_out = f"There is no checkpoint yet, so the same command takes {change}"
        if last:
            way_out = (
                f"The last checkpoint, {last}, is untouched. Give {change} together with another --train_logdir, and "
                f"--tf_initial_checkpoint={last} to start from its weights"
            )
        raise UserError(f"{what} at step {step} ({parts}), batch of: {names}. {way_out}; or look at these records")

    def _save(self):
        self.before_saving()
        self.progress.say(f"saved {self.checkpoints.save()}")
