"""Checks every record of a folder of TFRecord shards, and shows what the data look like.

    deeplab check --dataset_dir=shards

Prints every problem with the name of the file: wrong sizes, label values or formats, duplicates, truncated files, EXIF
rotation, images of one colour or nearly black, images that are in a training split and in another one, splits without
labels or with one class. Then come the range of sizes with a suggested crop size, and the class histogram with absent
classes. Writes contact_sheet.png. The exit code is 0 if there are no problems, else 1.
"""

import dataclasses

from deeplab import cli
from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class CheckConfig(Checked):
    """What to check"""

    dataset_dir: str = option("", "Folder of the shards.")
    dataset: str | None = option(None, "Catalogue name; needed only where dataset.json is missing.")
    contact_sheet: str | None = option(None, "PNG to write; not given: contact_sheet.png in dataset_dir.")
    num_samples: int = option(12, "Pictures of each split on the contact sheet.")

    def check(self):
        require(bool(self.dataset_dir), "dataset_dir", self.dataset_dir, "the folder of the shards, --dataset_dir=DIR")
        require(self.num_samples >= 0, "num_samples", self.num_samples, "0 or more")


def check(config):
    """Prints the report of `config.dataset_dir`; returns the exit code."""
    from deeplab.data.building import linter

    return linter.check(config)


def main():
    cli.main(check, CheckConfig)
