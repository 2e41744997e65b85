"""Options of eval, vis, predict and export that say which network it is, and where its weights are."""

import dataclasses
from typing import Any, ClassVar

from deeplab.config.model import PROGRAM_DEFAULTS
from deeplab.config.options import Checked, option, require
from deeplab.config.presets import MODELS, model_options, preset_option
from deeplab.config.published import files

_EXPECTED = "a value: --checkpoint_dir=..., or --preset=NAME for its published weights"


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Checked):
    """Network, when there is no config.json"""

    preset: str | None = preset_option()
    use_moving_averages: bool = option(
        True, "Use the moving averages of the weights, when the training kept them (--moving_average_decay)."
    )
    zero_untrained_taps: bool = option(
        False,
        "Set the taps of atrous kernels to 0 that saw only padding, because the training crop was too small for their "
        "rate. Needed for images that are larger than the crop, if a warning says so.",
    )

    MODEL_DEFAULTS: ClassVar[dict[str, Any]] = PROGRAM_DEFAULTS

    @property
    def model_defaults(self):
        """{field of ModelConfig: value} that apply without config.json and model flags."""
        return {**self.MODEL_DEFAULTS, **model_options(self.preset_name)}

    @property
    def weights(self):
        """The folder or file that is named, or else preset:NAME for the published weights of --preset; may be None."""
        named = getattr(self, "checkpoint_path", None) or self.checkpoint_dir
        return named or (files.SCHEME + self.preset if self.preset else None)

    @property
    def preset_name(self):
        """Name of the published model: of --preset, or of weights that are named preset:NAME; None without one."""
        return self.preset or files.preset_of(self.weights)

    def check_weights(self):
        """Refuses weights that nobody names, and those of another preset than --preset."""
        require(self.weights, "checkpoint_dir", self.checkpoint_dir, _EXPECTED)
        named = files.preset_of(self.weights)
        same = named in (None, self.preset) or self.preset is None
        require(same, "preset", self.preset, f"{named}, or no value, beside preset:{named}")

    @property
    def dataset_name(self):
        """Name of the data set: --dataset, or the data set of the preset, or None when neither is given."""
        return self.dataset or (MODELS[self.preset_name].dataset if self.preset_name else None)
