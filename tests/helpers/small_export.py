"""Exports the network of small_training.py, which is short where a test uses the fixture `short_mobilenet`."""

import types

from deeplab.config.export import ExportConfig
from deeplab.export import export
from helpers import small_training


def run(path, **options):
    """Exports the network into `path` and returns the folder of the version. `options` are fields of ExportConfig."""
    export(
        ExportConfig(
            **{"checkpoint_dir": small_training.logdir(), "export_path": str(path), "verify": False, **options}
        )
    )
    return max(path.iterdir())


def loaded():
    """Returns what stands in for the `Trained` of a network that nobody has trained: its data set."""
    return types.SimpleNamespace(dataset=small_training.dataset(), checkpoint="model.ckpt-7")
