"""Runs a program of this project where one device looks like several, to try what several devices do.

    python scripts/on_logical_devices.py --devices=2 deeplab.train --distribution_strategy=mirrored ...

The first GPU is split if there is one, else the CPU. Each part of a GPU gets --megabytes of its memory. The flags of
the module follow its name.
"""

import argparse
import pathlib
import runpy
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def split(count, megabytes):
    """Splits the first GPU, or the CPU, into `count` logical devices; nothing else may have used a device before."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    device = gpus[0] if gpus else tf.config.list_physical_devices("CPU")[0]
    part = tf.config.LogicalDeviceConfiguration(memory_limit=megabytes if gpus else None)
    if gpus:
        tf.config.set_visible_devices(gpus[:1], "GPU")
    tf.config.set_logical_device_configuration(device, [part] * count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=2, help="number of logical devices")
    parser.add_argument("--megabytes", type=int, default=8192, help="memory of each part of a GPU")
    parser.add_argument("module", help="such as deeplab.train")
    parser.add_argument("flags", nargs=argparse.REMAINDER, help="flags of the module")
    options = parser.parse_args()
    split(options.devices, options.megabytes)
    sys.path.insert(0, str(ROOT))
    sys.argv = [options.module, *options.flags]
    runpy.run_module(options.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
