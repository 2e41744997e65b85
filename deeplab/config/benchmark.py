"""Options of benchmark.py."""

import dataclasses

from deeplab.config.options import Checked, option


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Checked):
    """What to measure"""

    cost: bool = option(False, "Multiply-adds of the published networks beside the published figures.")
    quick: bool = option(False, "Cost: leave out the evaluations at many scales, which take a minute to build.")
