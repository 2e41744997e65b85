"""Times of training steps: in every precision, with and without XLA."""

import time

import numpy as np
from tensorflow import keras

from deeplab.benchmarks.timing import interleaved
from deeplab.benchmarks.training import Setting, repeated_batch, steps_of, training_runner
from deeplab.config.training import RunConfig
from gpu_check import common, rows

_SAME_LOSS = 0.02  # relative; precisions differ by less, and XLA draws other random numbers for dropout
_WARM_UP = 60  # seconds that the first form is expected to take on a card


def measure(options):
    """Sends the time of a step of every form, measured in turns.

    A form is left out if the limit of the part could end it in the middle, which would lose what was measured.
    """
    common.use_tf32(True)
    sizes = options.sizes
    setting = Setting(options.benchmark_network, sizes.crop, sizes.batch)
    data = repeated_batch(setting)
    takes, figures, longest = {}, {}, 0 if options.quick else _WARM_UP
    for form in options.forms:
        begun = time.monotonic()
        if rows.seconds_left() < longest:
            rows.send(form, skipped=f"{rows.seconds_left():.0f} s are left, the form before took {longest:.0f} s")
            continue
        try:
            takes[form], figures[form] = _warmed_up(form, setting, data, sizes.steps)
        except Exception as error:  # the other forms may work
            rows.send(form, ok=False, error=common.one_line(error))
            keras.backend.clear_session()
        if len(takes) == 1 or not options.quick:
            longest = time.monotonic() - begun
    turns = {form: lambda take=take: take(sizes.steps) for form, take in takes.items()}
    # Every form has waited for the others to warm up, so that its first turn does not count.
    for form, milliseconds in interleaved(turns, sizes.turns, warm_up=1).items():
        ms = np.median(milliseconds) / sizes.steps
        same = abs(figures[form]["first_loss"] / next(iter(figures.values()))["first_loss"] - 1) <= _SAME_LOSS
        speed = {"ms": ms, "images_per_second": 1000 * sizes.batch / ms}
        rows.send(_title(setting, form), ok=same, by="ours", compare=form.partition("+")[0], **speed, **figures[form])


def compare_with_xla(options):
    """Sends the loss of a few steps with and without XLA, which has to be the same without dropout, and their times."""
    common.use_tf32(False)
    crop, batch = options.sizes.small
    setting = Setting("mobilenet_v2" if options.quick else "mobilenet_v2 + decoder", crop, batch)
    data, found = repeated_batch(setting), {}
    for name, xla in (("without XLA", False), ("with XLA", True)):
        begun = time.monotonic()
        runner = training_runner(setting, data, RunConfig(distribution_strategy="one_device", jit_compile=xla))
        without_dropout(runner)
        take = steps_of(runner)
        losses = [take(1), take(1)]
        seconds = time.monotonic() - begun
        times = interleaved({name: lambda take=take: take(options.sizes.steps)}, options.sizes.turns, warm_up=0)
        found[name] = losses
        ms = np.median(times[name]) / options.sizes.steps
        off = max(abs(a / b - 1) for a, b in zip(losses, found["without XLA"], strict=True))
        figures = {"ms": ms, "first_loss": losses[0], "second_loss": losses[1], "off": off, "warm_up_seconds": seconds}
        rows.send(_title(setting, name), ok=off <= 1e-3, **figures)


def without_dropout(runner):
    """Turns the dropout layers of a `StepRunner` off, before it is traced.

    XLA draws other random numbers than TensorFlow, and every replica draws its own.
    """
    layers = [layer for layer in runner.step.model._flatten_layers() if "dropout" in layer.name]
    if not layers:
        raise ValueError("no layer of the network is called dropout: names have changed")
    for layer in layers:
        layer.rate = 0.0


def _warmed_up(form, setting, data, steps):
    """Returns (function (steps) -> loss, figures) of one form, such as "bfloat16+xla", and sends its first time."""
    precision, _, xla = form.partition("+")
    common.forget_peak()
    begun = time.monotonic()
    kind = "none" if precision == "float32" else precision
    run = RunConfig(distribution_strategy="one_device", mixed_precision=kind, jit_compile=bool(xla))
    take = steps_of(training_runner(setting, data, run))
    first = take(1)
    take(steps)
    seconds = time.monotonic() - begun
    turn = interleaved({form: lambda: take(steps)}, 1, warm_up=0)[form][0]
    figures = {"first_loss": first, "peak_gib": common.peak_gib(), "warm_up_seconds": seconds}
    rows.send(f"{form}, one turn", ms_of_one_turn=turn / steps, **figures)
    return take, figures


def _title(setting, form):
    return f"{setting.network}, {setting.crop}, batch {setting.batch}: {form}"
