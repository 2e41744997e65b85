"""Exports of a short network (fixture `short_mobilenet`), whose weights are made once in a process."""

import functools

import small_training

from deeplab import runtime
from deeplab.config.export import ExportConfig
from deeplab.export import export


@functools.cache
def logdir():
    """Returns a train_logdir as `small_training.logdir` does, of mobilenet_v2 with every block once."""
    runtime.set_seed(0)
    return small_training.logdir.__wrapped__()


def run(path, **options):
    """Exports the short network into `path`, unverified unless asked; returns the folder of the version."""
    export(ExportConfig(**{"checkpoint_dir": logdir(), "export_path": str(path), "verify": False, **options}))
    return max(path.iterdir())
