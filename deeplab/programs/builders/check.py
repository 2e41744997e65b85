"""Checks every record of a folder of TFRecord shards, and shows what the data look like.

    python datasets/check.py --dataset_dir=shards

Prints every problem with the name of the file: wrong sizes, label values or formats, duplicates, truncated files, EXIF
rotation, images of one colour or nearly black, images that are in a training split and in another one, splits without
labels or with one class. Then come the range of sizes with a suggested crop size, and the class histogram with absent
classes. Writes contact_sheet.png. The exit code is 0 if there are no problems, else 1.
"""

import dataclasses
import os

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
    from deeplab.data import catalog
    from deeplab.data.building import linter

    dataset = catalog.load(config.dataset_dir, config.dataset)
    catalog.refuse_other(config.dataset, dataset)
    found = linter.lint(config.dataset_dir, dataset, config.num_samples)
    print(linter.report(found, dataset))
    path = config.contact_sheet or os.path.join(config.dataset_dir, "contact_sheet.png")
    linter.contact_sheet(found, dataset, path)
    print(f"contact sheet: {path}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    cli.main(check, CheckConfig)
