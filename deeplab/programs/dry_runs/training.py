"""`train --dry_run`: takes a few steps in memory, and says what the training needs."""

import math
import sys
import time

import tensorflow as tf

from deeplab.checkpoints import bundle
from deeplab.files import room
from deeplab.model.cost import count_parameters
from deeplab.training import state
from deeplab.training.progress import time_text

TIMED_STEPS = 3


def tell(config, loop):
    """Takes steps, and prints parameters, memory, disk and time of a training; saves nothing.

    Args:
      config: the TrainConfig.
      loop: the `TrainingLoop`, whose first step is the one that comes next.

    Raises:
      UserError: what a training raises in its first steps, or the disk has too little room for its checkpoints.
    """
    step, start = loop.runner.step, loop.runner.step.updates()
    why_over = loop.why_over(start)
    if why_over:
        print(why_over, flush=True)
        return
    print(f"Parameters: {count_parameters(step.model):,} that are trained", flush=True)
    print(f"Disk: {room.require(config.train_logdir, 'train_logdir', _bytes_to_write(config, step))}", flush=True)
    loop.check(loop.runner.run(1), start)  # TensorFlow traces in it
    began = time.perf_counter()
    for number in range(TIMED_STEPS):
        loop.check(loop.runner.run(1), start + 1 + number)
    seconds = (time.perf_counter() - began) / TIMED_STEPS
    print(f"Memory: {_memory()}")
    total = config.schedule.training_number_of_steps
    print(
        f"Time: {seconds:.3g} s a step, {config.train_batch_size / seconds:.1f} images/s, "
        f"{time_text((total - start) * seconds)} (h:mm:ss) for the {total - start} steps from {start} to {total}; "
        f"{_on_top(config, start)} come on top"
    )
    print("Nothing was written; the same command without --dry_run trains", flush=True)


def _bytes_to_write(config, step):
    """Returns how many bytes of checkpoints come into the train_logdir, one that is being written among them."""
    one = sum(
        math.prod(variable.shape) * tf.as_dtype(variable.dtype).size for variable in state.variables(step).values()
    )
    there = len(bundle.prefixes(config.train_logdir))
    newest = max(0, config.run.keep_checkpoints - there) + 1
    return one * (newest + (2 if config.run.eval_interval_steps else 0))


def _memory():
    """Returns in words how much memory the steps have taken."""
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        peaks = [tf.config.experimental.get_memory_info(gpu.name.removeprefix("/device:"))["peak"] for gpu in gpus]
        return f"at most {room.size_text(max(peaks))} of a GPU"
    try:
        import resource
    except ImportError:  # Windows
        return "not known"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"at most {room.size_text(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)} of this process"


def _on_top(config, start):
    """Returns what takes time beside the steps, for a message."""
    interval, total = config.run.eval_interval_steps, config.schedule.training_number_of_steps
    count = total // interval - start // interval if interval else 0
    return f"{count} evaluations on {config.run.eval_split} and the checkpoints" if count else "checkpoints"
