"""Options of benchmark.py."""

import dataclasses

from deeplab.config.options import Checked, option


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """What to measure"""

    cost: bool = option(False, "Multiply-adds of the published networks beside the published figures.")
    input: bool = option(False, "Images per second of the input pipeline, at 480x360 and 1024x2048.")
    quick: bool = option(
        False,
        "Cost: leave out the evaluations at many scales, which take a minute to build. Input: a tenth of the images.",
    )
