"""Whether XLA compiles the training step: what `--jit_compile` means on the machine at hand.

What XLA gains depends on the network, the batch and the card, so `--jit_compile=auto` measures it on a GPU. A training
keeps what was measured, because the two forms of the step round differently.
"""

import contextlib
import dataclasses
import re
import statistics
import time
from typing import NamedTuple

import tensorflow as tf

from deeplab.errors import UserError, one_line
from deeplab.layers import hardware
from deeplab.model.names import assign
from deeplab.training import run_folder, state

# So many steps have to be left. On an H100 the whole step of xception_65 was not compiled after three minutes, in which
# 2,000 steps are taken without; what XLA can gain is a fraction of a step.
FEWEST_STEPS = 20_000
_WARM_UP, _TURNS, _STEPS = 2, 3, 5  # steps before anything is timed; how often, and how many steps are timed together
_GAIN = 0.95  # XLA has to take less than this share of the time, since every start of a training compiles again
_AUTO = "--jit_compile=auto"


def refuse(jit_compile, strategy):
    """Raises a UserError if the step is to be compiled for replicas whose sums XLA cannot compile.

    XLA compiles the step of every replica by itself, and the replicas then meet in collective operations. XLA runs
    these on GPUs through NCCL; it has none for CPUs, and NCCL refuses two logical devices on one card.

    Args:
      jit_compile: True, False or "auto".
      strategy: the tf.distribute strategy of the training.
    """
    if jit_compile is not True or strategy.num_replicas_in_sync == 1 or isinstance(strategy, tf.distribute.TPUStrategy):
        return
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        where = "several machines"
    elif not hardware.is_accelerated():
        where = f"{strategy.num_replicas_in_sync} logical CPUs"
    elif len(tf.config.list_logical_devices("GPU")) > len(tf.config.list_physical_devices("GPU")):
        where = "logical devices on one GPU"
    else:
        return
    raise UserError(
        f"jit_compile=True: XLA cannot sum over {where}; leave it out, or take --distribution_strategy=one_device"
    )


def choose(runner, config, start, recorded, say):
    """Decides whether the step is compiled, by a measurement if `jit_compile` is "auto" and one GPU trains.

    Args:
      runner: a `StepRunner` at the step `start`; it compiles if `jit_compile` is True.
      config: the TrainConfig.
      start: the step that comes next.
      recorded: `recorded_options` of the training in the train_logdir, or None if there is none.
      say: function that prints a line.

    Returns:
      (The `StepRunner` to train with, at the step `start`; `config` with True or False for `jit_compile`.) Whatever a
      measurement changed is put back, so that the training equals one to which the choice was given.
    """
    if isinstance(config.run.jit_compile, bool):
        return runner, config
    decision = _decide(runner.strategy, config, start, _earlier(recorded) if start else None)
    if decision.told:
        say(f"{_AUTO}: {decision.told}")
    if decision.compiled is None:
        runner = _faster(runner, say)
    elif decision.compiled:
        runner = runner.like(jit_compile=True)
    choice = {"jit_compile": runner.jit_compile, "jit_compile_provisional": decision.provisional}
    return runner, dataclasses.replace(config, run=dataclasses.replace(config.run, **choice))


class _Decision(NamedTuple):
    """What "auto" means before anything is measured."""

    compiled: bool | None  # None: a measurement has to tell
    told: str = ""  # what the user has to know about it
    provisional: bool = False  # nothing was measured, so a training that is resumed decides again


def _decide(strategy, config, start, earlier):
    """Returns the `_Decision` of a training that goes on at the step `start`; `earlier` as from `_earlier`."""
    if not hardware.is_accelerated() or isinstance(strategy, tf.distribute.TPUStrategy):
        told = "trains without XLA from here on, because XLA makes steps on a CPU slower" if earlier else ""
        return _Decision(False, told, provisional=True)
    if strategy.num_replicas_in_sync > 1:
        reason = f"measures on one GPU only, and {strategy.num_replicas_in_sync} train here"
    elif earlier is not None:
        return _Decision(earlier, f"trains {_with(earlier)} XLA, as this training did before (config.json)")
    elif config.run.deterministic:
        reason = "measures nothing under --deterministic, because two measurements may differ"
    elif config.schedule.training_number_of_steps - start < FEWEST_STEPS:
        reason = f"measures nothing when fewer than {FEWEST_STEPS} steps are left"
    else:
        return _Decision(None, "times steps without XLA and with it; compiling may take several minutes")
    return _Decision(False, f"{reason}; trains without XLA (--jit_compile compiles)", provisional=True)


def _earlier(recorded):
    """Returns whether the training in the train_logdir compiled its step, or None if that was not chosen for good."""
    run = run_folder.recorded_run(recorded)
    value = None if run.get("jit_compile_provisional") else run.get("jit_compile")
    return value if isinstance(value, bool) else None


def _faster(runner, say):
    """Returns the faster one of `runner`, which does not compile, and of a runner like it that compiles."""
    with _unchanged(runner.step):
        plain = _seconds_per_step(runner)
        compiling = runner.like(jit_compile=True)
        try:
            compiled = _seconds_per_step(compiling)
        except tf.errors.OpError as error:
            say(f"{_AUTO}: XLA cannot compile this step ({_reason(error)}); training without XLA")
            runner.rewind()
            return runner
    chosen = compiling if compiled < _GAIN * plain else runner
    chosen.rewind()
    flag = "--jit_compile" if chosen.jit_compile else "--nojit_compile"
    say(
        f"{_AUTO}: {1000 * compiled:.0f} ms a step with XLA, {1000 * plain:.0f} ms without; training "
        f"{_with(chosen.jit_compile)} XLA ({flag} says so without measuring)"
    )
    return chosen


def _seconds_per_step(runner):
    """Returns the time of a step of `runner` on its next batches."""
    runner.run(_WARM_UP)
    times = []
    for _ in range(_TURNS):
        before, began = runner.step.updates(), time.perf_counter()
        runner.run(_STEPS)
        times.append((time.perf_counter() - began) / (runner.step.updates() - before))
    return statistics.median(times)


@contextlib.contextmanager
def _unchanged(step):
    """Puts all variables that a training changes back in the end."""
    variables, values = state.variables(step), state.values(step)
    try:
        yield
    finally:
        for name, variable in variables.items():
            assign(variable, values[name])


def _with(compiled):
    return "with" if compiled else "without"


def _reason(error):
    """Returns the first cause in the message of a TensorFlow error, which tells it after the places in the code."""
    text = one_line(error.message)
    cause = re.search(r"\(0\) [A-Z_]+: *(.*)", text)
    return (cause.group(1) if cause else text)[:200]
