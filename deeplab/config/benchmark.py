"""Options of benchmark.py."""

import dataclasses

from deeplab.config.inference import check_crop, check_given
from deeplab.config.options import Checked, option, require


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """What to measure"""

    cost: bool = option(False, "Multiply-adds of the published networks beside the published figures.")
    input: bool = option(False, "Images per second of the input pipeline, at 480x360 and 1024x2048.")
    export: bool = option(False, "Time of one image in every export format and engine; needs checkpoint_dir.")
    checkpoint_dir: str | None = option(None, "export: a --train_logdir, or a folder or file with weights.")
    size: tuple[int, ...] = option((513, 513), "export: height and width of the image.")
    runs: int = option(20, "export: how often each is timed.")
    quick: bool = option(
        False,
        "Cost: leave out the evaluations at many scales, which take a minute to build. Input: a tenth of the images.",
    )

    def check(self):
        check_crop("size", self.size)
        require(self.runs > 0, "runs", self.runs, "at least 1")
        if self.export:
            check_given(self, "checkpoint_dir")
