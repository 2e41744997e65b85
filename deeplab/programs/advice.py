"""What train says about options that a user may not have thought through: before its first step, or out of memory."""

import sys

from deeplab import memory
from deeplab.config import atrous_rates
from deeplab.layers import batch_norm
from deeplab.model import cost
from deeplab.model.network import config_of

# What a training can do that has no memory for its evaluations.
LESS_THAN_EVALUATIONS = "--eval_interval_steps=0 leaves them out, and python -m deeplab.eval --tile_size=513,513 scores"


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


def about_memory(config, network, replicas, resumes=False):
    """Returns a context manager in which a training step that lacks memory says so; arguments as in `less_memory`."""
    return memory.told(
        lambda: batch_and_crop(config), lambda size: less_memory(config, network, replicas, size, resumes)
    )


def batch_and_crop(config):
    """Returns the options of a TrainConfig that its memory depends on most, a text."""
    parts = config.optimizer.gradient_accumulation_steps
    in_parts = f" and gradient_accumulation_steps={parts}" if parts > 1 else ""
    return (
        f"train_batch_size={config.train_batch_size} with "
        f"train_crop_size={atrous_rates.text(config.train_crop_size)}{in_parts}"
    )


def less_memory(config, network, replicas, size, resumes=False):
    """Returns which options need less memory, a text, after a training step of a TrainConfig has found too little.

    Args:
      config, network: as in `tell`.
      replicas: number of devices that share a batch.
      size: bytes of the memory of a device, or None if they are not known.
      resumes: the training is a resumed one, whose options stay.
    """
    batch, parts = config.train_batch_size, config.optimizer.gradient_accumulation_steps
    at_a_time = batch // (replicas * parts)  # images on a device
    fitting, ways = _images_that_fit(network, at_a_time, size), []
    if fitting:
        ways.append(f"--train_batch_size={fitting * replicas * parts}")
        shared = batch // replicas
        more = (n for n in range(parts + 1, shared + 1) if shared % n == 0 and shared // n <= fitting)
        # The last of them is one image at a time, which fits.
        ways.append(f"--gradient_accumulation_steps={next(more)}")
    else:
        ways.append("a smaller --train_crop_size")
    if config.run.mixed_precision == "none":
        ways.append("--mixed_precision=bfloat16")
    told = f"about {fitting * replicas * parts} images would: " if fitting else "not even one image at a time would: "
    kept = "a training that is resumed keeps its options; in another --train_logdir, with --tf_initial_checkpoint, "
    return kept * resumes + told + ", or ".join(ways)


def _images_that_fit(network, tried, size):
    """Estimates how many images fit into `size` bytes at a time, given that `tried` images did not fit."""
    image, always = cost.bytes_to_train(network)
    estimate = max(0, int((size - always) // image)) if size else tried
    # Where the estimate is wrong, or another program uses the memory, half of the images is a guess that leads on.
    return estimate if estimate < tried else tried // 2
