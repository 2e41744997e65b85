"""Exports of a short network (fixture `short_mobilenet`), whose weights are made once in a process."""

from deeplab.config.export import ExportConfig
from deeplab.export import export
from helpers import small_training


def run(path, **options):
    """Exports the short network into `path`, unverified unless asked; returns the folder of the version."""
    export(
        ExportConfig(
            **{"checkpoint_dir": small_training.logdir(), "export_path": str(path), "verify": False, **options}
        )
    )
    return max(path.iterdir())
