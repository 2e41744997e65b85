"""One part, in its process: `python -m gpu_check.work PART OPTIONS`. The driver starts it."""

import sys

import tensorflow as tf

from gpu_check import (
    camvid,
    common,
    depthwise,
    deterministic,
    device,
    exports,
    goldens,
    inference,
    memory,
    mirrored,
    options,
    training,
)
from gpu_check.driver import EXIT_NO_GPU

FUNCTIONS = {
    "device": device.describe,
    "export": exports.check,
    "goldens": goldens.check_networks,
    "loss": goldens.check_training,
    "jit": training.compare_with_xla,
    "deterministic": deterministic.check,
    "training": training.measure,
    "depthwise": depthwise.measure,
    "inference": inference.measure,
    "inference_without_tf32": inference.measure_without_tf32,
    "mirrored": mirrored.check,
    "memory": memory.check,
    "camvid": camvid.check,
    "camvid_mixed": camvid.compare_precisions,
}
_WHOLE_NETWORKS = ("goldens", "loss")  # need the networks of the original


def main(part, arguments):
    """Runs a part; returns the exit code."""
    asked = options.read(arguments)
    if not asked.quick and not tf.config.list_physical_devices("GPU"):
        built = "is built without CUDA" if not tf.test.is_built_with_cuda() else "found none it can use"
        print(f"TensorFlow {tf.__version__} {built}")
        return EXIT_NO_GPU
    if asked.quick and part not in _WHOLE_NETWORKS:
        common.hurry()
    FUNCTIONS[part](asked)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
