"""Options that all builders share."""

import dataclasses
import os

from deeplab.config.options import Checked, dry_run_option, option, require


@dataclasses.dataclass(frozen=True)
class BuildConfig(Checked):
    """Writing the shards"""

    output_dir: str = option("", "Folder that receives the shards and dataset.json.")
    num_shards: int = option(4, "Number of shard files per split.")
    num_workers: int = option(0, "Number of processes that read and check images. 0: one per core.")
    append: bool = option(
        False,
        "Add the images as further shards to splits that output_dir holds already, whose classes must be the same.",
    )
    overwrite: bool = option(False, "Replace the splits that output_dir holds already. Other splits stay.")
    skip_bad: bool = option(False, "Leave out pairs of image and label that have errors, instead of stopping.")
    dry_run: bool = dry_run_option("Read and check all images, say how large the shards would be")

    @property
    def workers(self):
        """Number of processes, with 0 replaced by the number of cores."""
        return self.num_workers or os.cpu_count() or 1

    def check(self):
        require(bool(self.output_dir), "output_dir", self.output_dir, "a folder, --output_dir=DIR")
        require(0 < self.num_shards < 100000, "num_shards", self.num_shards, "1 to 99999")
        require(not (self.append and self.overwrite), "overwrite", True, "one of --append and --overwrite")
        require(self.num_workers >= 0, "num_workers", self.num_workers, "0 or more")
