"""What train says before its first step about options that a user may not have thought through."""

import sys

from deeplab.config import atrous_rates
from deeplab.layers import batch_norm
from deeplab.model.network import config_of


def tell(config, network):
    """Prints what the options of a TrainConfig choose by themselves, and what they change or spoil.

    Args:
      config: the TrainConfig.
      network: the network that is trained, as `build_model` returns it for the training crops.
    """
    tell_rates(config, network)
    tell_small_parts(config, network)


def tell_rates(config, network):
    """Prints the atrous rates that `auto` has chosen, and a warning about rates that are too large for the crop."""
    model = config_of(network)
    crop = atrous_rates.text(config.train_crop_size)
    height, width = atrous_rates.cells(config.train_crop_size, model.output_stride, model.image_pyramid)
    place = f"train_crop_size={crop}, {height}x{width} cells at output_stride={model.output_stride}"
    if config.model.get("atrous_rates") == atrous_rates.AUTO:
        print(f"atrous_rates=auto: {atrous_rates.text(model.rates) or 'none'} for {place}", flush=True)
    atrous = [(layer.rate, shape[1:3]) for layer, shape in network.parts.convolutions if max(layer.rate) > 1]
    too_large = sorted({max(rate) for rate, sides in atrous if not atrous_rates.fits(rate, sides)})
    if too_large:
        way_out = "a larger crop, or --atrous_rates=auto"
        if not model.dense_prediction_cell_json:
            fitting = atrous_rates.fitting(config.train_crop_size, model.output_stride, model.image_pyramid)
            way_out += f" ({atrous_rates.text(fitting) or 'none'})"
        print(
            f"warning: atrous rates of {atrous_rates.text(too_large)} do not fit {place}: such kernels see little but "
            f"padding, and the network is worse on larger images; give {way_out}",
            file=sys.stderr,
            flush=True,
        )


def tell_small_parts(config, network):
    """Says what a small batch, or a batch in small parts, changes: which losses, and which batch norms."""
    parts, changed = config.optimizer.gradient_accumulation_steps, config.losses_of_parts()
    if changed:
        print(
            f"gradient_accumulation_steps={parts}: {' and '.join(changed)} see each part of the batch by itself, so "
            "their loss differs from the loss of the whole batch",
            flush=True,
        )
    images = config.train_batch_size // parts
    few = batch_norm.with_few_values(network, images)
    if few:
        more = f" and {len(few) - 1} more" if len(few) > 1 else ""
        print(
            f"With {images} image{'s' * (images > 1)} at a time, {few[0]}{more} would see fewer than "
            f"{batch_norm.FEWEST_VALUES} values per channel. Such a batch norm uses its moving averages, which stay as "
            "they are",
            flush=True,
        )
