"""Says what a file or folder is, and what is recorded about it: network, classes, step, size.

    deeplab inspect PATH

PATH is a train_logdir or one of its checkpoints, an export of any format, a checkpoint of the original or its .tar.gz
archive, a frozen graph, a .tflite file, an .h5 file of keras.applications, a SavedModel of another program, or a folder
of TFRecord shards. The flags of a network are those that differ from the defaults of train. What a file does not
record is told by the names of its variables, or not at all. Nothing is run and nothing is written.
"""

import dataclasses
import sys

from deeplab import cli
from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class InspectConfig(Checked):
    """What to look at"""

    path: str = option("", "File or folder, or the prefix of a checkpoint. The flag's name may be left out.")

    def check(self):
        require(bool(self.path), "path", self.path, "a file or folder: deeplab inspect PATH")


def inspect(config):
    """Prints what `config.path` is."""
    from deeplab.programs.inspecting import kinds

    print(kinds.describe(config.path))


def main():
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv[1] = f"--path={sys.argv[1]}"
    cli.main(inspect, InspectConfig)
