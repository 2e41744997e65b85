"""Timing for all benchmarks: taking turns, figures with their spread, the speed of the machine, earlier runs."""

import os
import platform
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import processor
from deeplab.errors import UserError
from deeplab.files import atomic, formats

_KIND = formats.Kind(
    "a file that --json wrote", "name one", ("machine", "rows"), types={"rows": [dict], "machine": dict}
)


class Row(NamedTuple):
    """One figure of a benchmark."""

    name: str  # the same in every run of the same measurement
    median: float
    low: float  # quartiles
    high: float
    unit: str

    @classmethod
    def of(cls, name, values, unit="ms"):
        """Returns the median and quartiles of `values`."""
        low, median, high = np.percentile(values, (25, 50, 75))
        return cls(name, float(median), float(low), float(high), unit)


def interleaved(functions, runs, warm_up=3):
    """Calls every one of {name: function} in turn, `runs` times after a warm-up; returns {name: [milliseconds]}.

    Other work of the machine then slows all functions alike, so that their ratios hold on a busy machine.
    """
    milliseconds = {name: [] for name in functions}
    for run in range(warm_up + runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if run >= warm_up:
                milliseconds[name].append(1000 * (time.perf_counter() - start))
    return milliseconds


def matrix_product_peak(side=2048, runs=5):
    """Returns the billions of multiply-adds per second that this machine reaches in float32 matrix products."""
    factor = tf.random.stateless_normal((side, side), (0, 0))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(factor, factor)))
    times = interleaved({"product": lambda: product().numpy()}, runs)["product"]
    return side**3 / (min(times) / 1000) / 1e9


def peak_memory():
    """Returns the largest memory of this process so far, in GB. Outside of Linux the memory of its parent may count."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            peak = next(line for line in file if line.startswith("VmHWM"))  # ru_maxrss would survive exec
        return int(peak.split()[1]) * 1024 / 1e9
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def profiled(folder, function):
    """Calls a function and writes a trace of what TensorFlow did to a folder, for TensorBoard's profiler."""
    tf.profiler.experimental.start(folder)
    try:
        function()
    finally:
        tf.profiler.experimental.stop()


def machine():
    """Returns {name: text, number or list}: what a reader of the figures has to know about the machine."""
    versions = {}
    for package in ("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "openvino"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    gpus = [
        tf.config.experimental.get_device_details(device).get("device_name", device.name)
        for device in tf.config.list_physical_devices("GPU")
    ]
    return {
        "processor": processor.name(),
        "features": processor.features(),
        "onednn": processor.uses_onednn(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        "python": platform.python_version(),
        **versions,
    }


def machine_line():
    """Returns what stands above every table: the machine, and what of it decides how fast networks run."""
    facts = machine()
    with_gpus = f"; {', '.join(facts['gpus'])}" if facts["gpus"] else ""
    features = " ".join(facts["features"]) or "features unknown"
    onednn = "on" if facts["onednn"] else "off"
    return (
        f"Machine: {facts['processor']}, {facts['cores']} cores, {features}{with_gpus}; "
        f"TensorFlow {tf.__version__}, oneDNN {onednn}"
    )


def save(path, rows):
    """Writes figures and machine as JSON."""
    atomic.write(path, _KIND.text({"machine": machine(), "rows": [row._asdict() for row in rows]}))


def load(path):
    """Returns the {name: Row} of a file that `save` wrote.

    Raises:
      UserError: there is no such file, or it holds something else.
    """
    rows = _KIND.read(path, f"--compare={path}")["rows"]
    try:
        return {row["name"]: Row(**row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--compare={path}: not a file that --json wrote ({' '.join(str(error).split())[:200]})"
        ) from None


def comparison(old, rows):
    """Returns lines with the ratio to the median in `old`, {name: Row}, for each of the rows."""
    lines = [f"\n{'now against then':60} {'then':>10} {'now':>10} {'ratio':>6}"]
    for row in rows:
        if row.name in old:
            then = old[row.name].median
            ratio = row.median / then if then else float("nan")
            lines.append(f"{row.name:60} {then:10.2f} {row.median:10.2f} {ratio:6.2f} {row.unit}")
    if len(lines) == 1:
        lines.append("nothing that was measured in both runs")
    return lines
