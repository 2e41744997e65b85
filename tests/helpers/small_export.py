"""Exports the network of small_training.py, which is short where a test uses the fixture `short_mobilenet`."""

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
