"""The machine: card, driver, versions, and what TF32 does on it."""

import ctypes
import os
import re
import shutil
import subprocess
import time

import numpy as np
import tensorflow as tf

from deeplab.benchmarks import timing
from gpu_check import common, rows


def describe(options):
    """Sends the versions of everything that the figures depend on, and the worst error of float32 with TF32."""
    machine = timing.machine()
    rows.send("machine", **{key: str(value) for key, value in machine.items()})
    rows.send("card", **_card())
    build = tf.sysconfig.get_build_info()
    built = {f"built_for_{name}": build[f"{name}_version"] for name in ("cuda", "cudnn") if f"{name}_version" in build}
    begun = time.monotonic()
    _convolution(False)
    rows.send("first convolution", seconds=time.monotonic() - begun)
    rows.send("libraries", **built, **_loaded())
    _tf32()


def _card():
    """Returns what nvidia-smi and TensorFlow say about the cards."""
    if not common.has_gpu():
        return {"skipped": "no GPU"}
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
    found = {"compute_capability": ".".join(map(str, details.get("compute_capability", ())))}
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")[0].split(", ")
        found |= dict(zip(("name", "driver", "memory"), told, strict=False))
    return {"name_of_card": found.pop("name", details.get("device_name", "")), **found}


def _loaded():
    """Returns the versions of the CUDA libraries that this process has loaded."""
    found = {}
    with open("/proc/self/maps", encoding="utf-8") as file:
        paths = sorted(set(re.findall(r"/\S+/lib(?:cudnn|cudart)\.so\S*", file.read())))
    for path in paths:
        name, function = ("cudnn", "cudnnGetVersion") if "cudnn" in path else ("cuda", "cudaRuntimeGetVersion")
        library, number = ctypes.CDLL(path), ctypes.c_int()
        if name == "cudnn":
            library.cudnnGetVersion.restype = ctypes.c_size_t
            found[name] = str(library.cudnnGetVersion())
        else:
            getattr(library, function)(ctypes.byref(number))
            found[name] = str(number.value)
    return found | {"xla_flags": os.environ.get("XLA_FLAGS", "")}


def _tf32():
    """Compares float32 with float64. The last row tells whether the switch still works after a kernel was chosen."""
    for name, value in (("float32 without TF32", False), ("float32 with TF32", True), ("without TF32 again", False)):
        common.use_tf32(value)
        rows.send(name, product_off=_product(), convolution_off=_convolution(True))


def _product():
    """Returns the worst error of a product of matrices, as a share of the largest value."""
    a, b = (np.random.default_rng(seed).normal(size=(512, 512)) for seed in (0, 1))
    return _worst(tf.matmul(tf.constant(a, tf.float32), tf.constant(b, tf.float32)), a @ b)


def _convolution(compare):
    """Runs a convolution; returns its worst error as in `_product`, if asked to."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 33, 33, 64)), rng.normal(size=(3, 3, 64, 64))
    y = tf.nn.conv2d(tf.constant(x, tf.float32), tf.constant(kernel, tf.float32), 1, "SAME").numpy()
    if not compare:
        return None
    with tf.device("CPU"):
        return _worst(y, tf.nn.conv2d(tf.constant(x), tf.constant(kernel), 1, "SAME").numpy())


def _worst(found, expected):
    return float(np.abs(np.asarray(found, np.float64) - expected).max() / np.abs(expected).max())
