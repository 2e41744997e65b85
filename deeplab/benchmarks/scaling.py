"""How cost grows with the work: pixels, output stride, passes, images per step; time beside multiply-adds and memory.

Where time grows faster than the multiply-adds, a network is no longer bound by arithmetic.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab.benchmarks.own_process import alone
from deeplab.benchmarks.timing import Row, interleaved, matrix_product_peak, peak_memory
from deeplab.config.model import ModelConfig
from deeplab.exporting import folding
from deeplab.exporting.signatures import ExportedModule
from deeplab.inference.predictor import Predictor
from deeplab.model.cost import count_multiply_adds
from deeplab.model.network import build_model

SIDES = (257, 385, 513, 769, 1025, 2049)  # pixels of square images
STRIDES = (32, 16, 8)
BATCHES = (1, 2, 4, 8)
FIVE_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
_SIDE = 513  # where other things vary


class Case(NamedTuple):
    """One way to segment."""

    name: str
    config: ModelConfig
    side: int = _SIDE
    batch: int = 1
    eval_scales: tuple = (1.0,)
    add_flipped_images: bool = False

    def multiply_adds(self):
        """Returns the multiply-adds of the whole batch."""
        shape = (self.side, self.side, 3)
        return self.batch * count_multiply_adds(self.config, shape, self.eval_scales, self.add_flipped_images)


def print_scaling(config, name, runs, sides=SIDES):
    """Prints the time of labels against pixels, output stride and batch, and that of ten passes.

    Args:
      config: `ModelConfig` of a network for images of any size, which gets random weights.
      name: of the network.
      runs: how often each is timed.
      sides: of the images, in pixels.

    Returns:
      A list of `Row`.
    """
    peak = matrix_product_peak()
    print(f"\n{name}, folded, float32. Matrix products reach {peak:.0f} G multiply-adds/s here.")
    print(f"{'':50} {'median':>11} {'quartiles':>19} {'multiply-adds':>13} {'G/s':>6} {'of peak':>8} {'memory':>9}")
    rows = []
    for case in _cases(config, sides):
        milliseconds, memory = alone(_run_alone, case, runs)
        rows.append(_print_row(name, case, milliseconds, peak, memory))
    one = Case("one pass", config)
    ten = Case("five scales and flip", config, eval_scales=FIVE_SCALES, add_flipped_images=True)
    milliseconds = alone(_run_both, one, ten, runs)
    rows += [_print_row(name, case, milliseconds[case.name], peak) for case in (one, ten)]
    predicted = rows[-2].median * ten.multiply_adds() / one.multiply_adds()
    print(f"ten passes take {rows[-1].median / predicted:.2f} of what their multiply-adds predict")
    return rows


def _cases(config, sides):
    strided = [dataclasses.replace(config, output_stride=stride) for stride in STRIDES]
    return [
        *(Case(f"{side}x{side}", config, side) for side in sides),
        *(Case(f"{_SIDE}x{_SIDE}, output stride {one.output_stride}", one) for one in strided),
        *(Case(f"{_SIDE}x{_SIDE}, batch {batch}", config, batch=batch) for batch in BATCHES),
    ]


def _print_row(network, case, milliseconds, peak, memory=None):
    row = Row.of(f"{network}, {case.name}", milliseconds)
    count = case.multiply_adds()
    speed = count / 1e6 / row.median
    print(
        f"{row.name:50} {row.median:8.1f} ms {row.low:8.1f} - {row.high:8.1f} {count / 1e9:11.2f} G {speed:6.1f} "
        f"{100 * speed / peak:6.1f} %" + (f" {memory:6.2f} GB" if memory else ""),
        flush=True,
    )
    return row


def _run_alone(case, runs):
    """Returns (milliseconds of each run, peak GB of this process)."""
    return interleaved({case.name: _segmenting(case)}, runs)[case.name], peak_memory()


def _run_both(one, other, runs):
    """Returns {name of the case: milliseconds of each run}."""
    return interleaved({case.name: _segmenting(case) for case in (one, other)}, runs)


def _segmenting(case):
    """Returns a function that segments one batch as an exported SavedModel does."""
    network = folding.fold(build_model(case.config))
    predictor = Predictor(network, None, case.eval_scales, case.add_flipped_images)
    module = ExportedModule(predictor, constant=True)
    shape = (case.batch, case.side, case.side, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))
    return lambda: module.serving_default(images)["labels"].numpy()
