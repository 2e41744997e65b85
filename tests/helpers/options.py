"""A configuration with every kind of option, for tests of the command line."""

import dataclasses

from deeplab.config.options import Checked, nested, option, overrides, require


@dataclasses.dataclass(frozen=True)
class Inner(Checked):
    """Inner theme"""

    depth: int = option(3, "How deep.")
    hidden: int = option(1, "Set by the program.")


@dataclasses.dataclass(frozen=True)
class Trained(Checked):
    """What was trained"""

    variant: str = option("small", "Which.", choices=("small", "large"))
    rates: tuple[int, ...] | None = option(None, "Rates.", word="auto")


@dataclasses.dataclass(frozen=True)
class Outer(Checked):
    """Outer theme"""

    folder: str | None = option(None, "Where.")
    steps: int = option(10, "How many.")
    rate: float = option(0.5, "How fast.")
    flip: bool = option(True, "Whether to flip.")
    fast: bool | str = option("auto", "Whether to hurry.", word="auto")
    scales: tuple[float, ...] = option((1.0,), "At which scales.")
    inner: Inner = nested(Inner, hide=("hidden",))
    changed: dict = overrides(Trained)

    RETIRED = {"old": "use --steps"}

    def check(self):
        require(self.steps > 0, "steps", self.steps, "at least 1")
