"""How a training step gets faster with the number of devices of one machine: GPUs, or logical devices of a CPU.

Every device computes the same number of images, so that one device and several do the same work per device. Without
any loss, n devices would train n times as many images per second.
"""

import numpy as np
import tensorflow as tf

from deeplab.benchmarks.own_process import alone
from deeplab.benchmarks.timing import Row, interleaved
from deeplab.benchmarks.training import STEPS, Setting, repeated_batch, training_runner
from deeplab.config.training import RunConfig
from deeplab.errors import UserError

# For one device. A GPU is only busy with crops and batches like those of the published trainings.
ON_CPUS = (Setting("mobilenet_v2 + decoder", 321, 4),)
ON_GPUS = (Setting("mobilenet_v2 + decoder", 513, 16), Setting("xception_65 + decoder", 513, 16))


def print_devices(counts, precisions, runs, settings=None):
    """Prints images per second against the number of devices.

    Args:
      counts: numbers of devices. Each of them is measured in a process of its own, where TensorFlow sees no others.
      precisions: values of --mixed_precision.
      runs: how many turns of a few steps are timed.
      settings: what is trained, with the batch of one device; otherwise `ON_GPUS` or `ON_CPUS`.

    Returns:
      A list of `Row`, images per second.

    Raises:
      UserError: this machine has fewer GPUs than that.
    """
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus and max(counts) > gpus:
        given = ",".join(map(str, counts))
        raise UserError(f"--devices={given}: this machine has {gpus} GPUs; expected at most as many")
    kind = "GPUs" if gpus else "logical devices of the CPU"
    print(f"\nTraining on {kind}: {runs} turns of {STEPS} steps, the same batch on every device")
    print(f"{'':60} {'devices':>7} {'first loss':>10} {'images/s':>9} {'quartiles':>17} {'of ideal':>8}")
    rows = []
    for setting in settings or (ON_GPUS if gpus else ON_CPUS):
        for precision in precisions:
            rows += _print_counts(setting, precision, counts, runs)
    return rows


def _print_counts(setting, precision, counts, runs):
    rows = []
    for count in counts:
        whole = setting._replace(batch=count * setting.batch)
        first, milliseconds = alone(_time_on, whole, precision, count, runs, logical_cpus=count)
        speed = 1000 * whole.batch * STEPS / np.array(milliseconds)
        kind = "" if precision == "none" else f", {precision}"
        title = f"{setting.network}, crop {setting.crop}, batch {setting.batch} x {count}{kind}"
        rows.append(Row.of(title, speed, "images/s"))
        ideal = rows[0].median * count / counts[0]
        print(
            f"{title:60} {count:7} {first:10.4f} {rows[-1].median:9.2f} {rows[-1].low:8.2f}-{rows[-1].high:8.2f} "
            f"{rows[-1].median / ideal:8.2f}",
            flush=True,
        )
    return rows


def _time_on(setting, precision, count, runs):
    """Returns (loss of the first step, milliseconds of each turn) on `count` devices; for a process of its own."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[:count], "GPU")
    run = RunConfig(distribution_strategy="mirrored" if count > 1 else "one_device", mixed_precision=precision)
    runner = training_runner(setting, repeated_batch(setting), run)
    if runner.strategy.num_replicas_in_sync != count:
        raise ValueError(f"{runner.strategy.num_replicas_in_sync} replicas on {count} devices")
    first = runner.run(1)["loss"]
    return first, interleaved({"turn": lambda: runner.run(STEPS)}, runs, warm_up=1)["turn"]
