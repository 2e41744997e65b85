"""What to do about kernels whose rate was too large for the training crop, when their network sees larger images."""

import sys
from collections.abc import Sequence

from deeplab.config import atrous_rates
from deeplab.config.model import ModelConfig
from deeplab.errors import UserError
from deeplab.inference.trained import Trained
from deeplab.model import untrained_taps
from deeplab.model.heads import dense_prediction_cell
from deeplab.model.network import build_model

_MUCH_LARGER = 1.5  # sides of images, relative to the training crop
_CELL_STRIDE = 16  # output stride for which a dense prediction cell gives its rates


def treat(
    loaded: Trained, set_to_zero: bool, size: Sequence[int] | None = None, scales: Sequence[float] = (1.0,)
) -> None:
    """Sets the untrained taps of a network to 0, or warns of them if the images are large enough to reach them.

    Also warns of rates that saw mostly padding, if the images are much larger than the training crops.

    Args:
      loaded: the network; its weights change if `set_to_zero`.
      set_to_zero: the user's --zero_untrained_taps.
      size: (height, width) of the largest image, or None where images may have any size.
      scales: the scales at which the network sees the images.

    Raises:
      UserError: the taps shall become 0, but there are no untrained taps.
    """
    taps = _of_training(loaded)
    if set_to_zero:
        if not taps:
            raise UserError(
                f"zero_untrained_taps=True: expected False: the training in {loaded.folder} reached every tap of its "
                "kernels, or there is no config.json that tells its crop"
            )
        untrained_taps.set_to_zero(loaded.model, taps)
        print(f"Set to 0 the taps of atrous rate {_rates(taps)} that only saw padding in training", flush=True)
        return
    seen = None if size is None else [float(side) * max(scales) for side in size]
    taps = [one for one in untrained_taps.not_zero(loaded.model, taps) if _sees_more(loaded, one, seen)]
    if taps:
        _warn(
            loaded,
            f"{_rates(taps)} only saw padding. What they see in larger images is noise to the network: give "
            "--zero_untrained_taps",
        )
    elif doubtful := _mostly_padding(loaded, seen):
        _warn(
            loaded,
            f"{atrous_rates.text(doubtful)} saw mostly padding. Batch norm's averages do not fit much larger images: "
            "measure them again (train --restart_batch_norm_averages, see README)",
        )


def _warn(loaded, what):
    crop = "x".join(map(str, loaded.trained_config.crop_size))
    print(
        f"warning: {loaded.checkpoint} was trained on crops of {crop} pixels, in which kernels of atrous rate {what}, "
        "or train again with --atrous_rates=auto",
        file=sys.stderr,
        flush=True,
    )


def _of_training(loaded):
    """Returns the `UntrainedTaps` of the training crop; [] if no config.json tells it."""
    config = loaded.trained_config
    if config is None or config.crop_size is None:
        return []
    if max(_head_rates(config), default=0) < min(_cells(config, config.crop_size)):
        return []  # which saves building the network once more
    taps = untrained_taps.find(build_model(config, (*config.crop_size, config.num_channels)))
    return [one for one in taps if one.layer in loaded.model.parts.layers]


def _head_rates(config: ModelConfig):
    if not config.dense_prediction_cell_json:
        return config.rates
    branches = dense_prediction_cell.read(config.dense_prediction_cell_json)
    return [max(branch.rate) * _CELL_STRIDE // config.output_stride for branch in branches]


def _cells(config, size):
    return atrous_rates.cells(size, config.output_stride, config.image_pyramid)


def _sees_more(loaded, taps, size):
    """Tells whether taps that only saw padding see cells of images of `size`."""
    if size is None:
        return True
    return any(cells > rate for cells, rate in zip(_cells(loaded.config, size), taps.rate, strict=True))


def _mostly_padding(loaded, size):
    """Returns the rates that saw mostly padding in training, if images of `size` are much larger than the crops."""
    config = loaded.trained_config
    if config is None or config.crop_size is None or config.dense_prediction_cell_json:
        return []
    if size and all(side < _MUCH_LARGER * crop for side, crop in zip(size, config.crop_size, strict=True)):
        return []
    cells = _cells(config, config.crop_size)
    return [rate for rate in config.rates if atrous_rates.sees_mostly_padding((rate, rate), cells)]


def _rates(taps):
    return atrous_rates.text(untrained_taps.atrous_rates(taps)) or "1"
