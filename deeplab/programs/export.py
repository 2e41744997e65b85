"""Writes a trained network as files that run without this project: `python -m deeplab.export`."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from deeplab import devices, memory
from deeplab.config.export import AUTO
from deeplab.data import catalog
from deeplab.data.channels.value_range import to_pixels
from deeplab.errors import UserError, lack_of_memory, one_line
from deeplab.exporting import folding, model_card, precision
from deeplab.exporting.formats import FORMATS, trial_images
from deeplab.exporting.formats.common import NetworkToExport
from deeplab.exporting.signatures import ExportedModule
from deeplab.files import atomic, locks
from deeplab.inference import export_folder, input_size, trained, untrained
from deeplab.inference.predictor import Predictor
from deeplab.pictures import mask_ids
from deeplab.programs.dry_runs import exporting as dry_run

_VERIFY_SIZES = ((97, 129), (130, 90))  # (height, width)
# The least share of labels that must equal the network's, by --precision or --quantize. Where two classes are nearly
# equal, rounding decides; how many pixels that concerns depends on the images.
_LEAST_AGREEMENT = {"float32": 0.999, "bfloat16": 0.95, "float16": 0.99, "none": 0.999, "dynamic": 0.9, "int8": 0.8}


def export(config):
    """Exports one checkpoint as `config`, an `ExportConfig`, says; prints where the export is."""
    write_version(config)


@devices.as_configured
def write_version(config):
    """Does what `export` does, and returns the folder of the new version."""
    # From what: the network as it was trained, for images that are padded to the crop size or as large as they come.
    loaded = _restored(config)
    print(f"{loaded.checkpoint}: {loaded.config.model_variant}, {loaded.config.num_classes} classes")

    # What: the same path from images to labels as in eval, but faster.
    size = model_card.image_size(config, loaded)
    seen = _input_size(config, loaded)
    # The crop size is the size of the file's images, which are not padded to it once they are shrunk.
    crop_size = None if config.takes_one_size and seen.resizes(*size) else config.crop_size
    untrained.treat(
        loaded, config.zero_untrained_taps, size if config.takes_one_size else None, config.inference_scales
    )
    original = _predictor(loaded.model, config, crop_size)
    made = _networks(original, config, crop_size, loaded, size, seen)
    choice = _precision(config, original, made)
    network = made(choice.precision)
    if config.dry_run:
        dry_run.tell(network)
        return

    # Where: the next version. It gets its name when it is complete, since a server may watch the folder.
    tf.io.gfile.makedirs(config.export_path)
    with locks.hold(config.export_path, "export_path"):
        folder = export_folder.next_path(config.export_path)
        with atomic.new_folder(folder) as unfinished:
            # Go: write it, and compare it with the network before it is kept.
            FORMATS[config.format].write(unfinished, network)
            catalog.save(loaded.dataset, unfinished)
            model_card.write(unfinished, network.config, loaded, seen, choice.reason)
            if config.verify:
                with memory.told(lambda: "verifying the export", lambda size: "--noverify leaves that out"):
                    _verify(unfinished, original, network)
    print(f"Wrote {folder}")
    if config.format == "saved_model":
        print(f"Try it: python -m deeplab.predict --saved_model={folder} --input=IMAGE --output=FOLDER")
    return folder


def _networks(original, config, crop_size, *known):
    """Returns the function (type that a network computes in) -> `NetworkToExport`, which makes each only once."""

    @functools.cache
    def made(kind):
        of_kind = dataclasses.replace(config, precision=kind)
        return NetworkToExport(_folded(original, of_kind, crop_size), of_kind, *known)

    return made


def _precision(config, original, made):
    """Returns the `precision.Choice` of an export, and prints it if the user left it to the program."""
    if config.precision != AUTO:
        return precision.Choice(config.precision)
    with memory.told(lambda: "comparing precisions", lambda size: "--precision=float32 leaves that out"):
        choice = precision.choose(original, made)
    print(choice)
    return choice


def _predictor(model, config, crop_size):
    return Predictor(model, crop_size, config.inference_scales, config.add_flipped_images)


def _restored(config):
    """Returns the `trained.Trained` to export, whose data set has the ids that PNG files shall hold."""
    dataset = catalog.load(None, config.dataset_name)
    loaded = trained.load_configured(config, config.weights, config.model, dataset)
    catalog.refuse_other(config.dataset, loaded.dataset)
    return dataclasses.replace(loaded, dataset=mask_ids.without(loaded.dataset)) if config.ids.class_ids else loaded


def _input_size(config, loaded):
    """Returns the `InputSize` of the export, and prints which images the network will see at another size."""
    if config.resize.min_resize_value is not None:
        return input_size.InputSize()
    seen = input_size.resolve(config.input_size, loaded.trained_size)
    if str(seen):
        print(seen)
    return seen


def _folded(original, config, crop_size):
    """Returns the `Predictor` that is exported: folded, and in the precision that the user asks for."""
    if not config.fold_batch_norm:
        return original
    with folding.policy(config.precision):
        return _predictor(folding.fold(original.model, config.precision), config, crop_size)


def _verify(folder, original, network):
    """Runs the export, compares it with the network that it was made of, and prints how far they agree.

    Args:
      folder: where the export was written.
      original: the `Predictor` of the network as it was trained.
      network: the `NetworkToExport` that was written.

    Raises:
      UserError: its own engine refuses the export, or too few labels are the same.
    """
    config = network.config
    any_size = not config.takes_one_size and config.crop_size is None
    sizes = _VERIFY_SIZES if any_size else [network.size] * 2
    images = [next(trial_images.of_size(network, 1, size)) for size in sizes]
    agreement = _agreement(folder, original, network, images)
    print(
        f"Verified: {100 * np.mean(agreement):.3f} % of the labels equal those of the network{_logits(network, images)}"
    )
    least = _LEAST_AGREEMENT[config.quantize if config.quantize != "none" else config.precision]
    if min(agreement) < least:
        raise UserError(
            f"{folder}: only {100 * min(agreement):.2f} % of the labels equal those of the network, "
            f"less than {100 * least:g} %; not exported"
        )


def _agreement(folder, original, network, images):
    """Returns, for each image, the share of its labels for which the export and the original network agree."""
    config = network.config
    how = {"input_size": network.input_size, "channels": network.loaded.dataset}
    expected = ExportedModule(original, config.resize, **how)
    try:
        labels = FORMATS[config.format].reader(folder)
        return [np.mean(labels(image) == expected.segment(image)[0].numpy()) for image in images]
    except UserError:
        raise
    except Exception as error:  # engines raise exceptions of many kinds
        if lack_of_memory(error):
            raise
        reason = one_line(error, 300)
        raise UserError(
            f"--format={config.format}: its own runtime refuses the file ({reason}); not exported"
        ) from None


def _logits(network, images):
    """Returns a text that says how far folding changes the logits; "" if the network is exported as it is."""
    original = network.loaded.model
    if network.predictor.model is original:
        return ""
    image = images[0][:, : network.size[0], : network.size[1]]
    if network.predictor.fixed_size and image.shape[1:3] != tuple(network.predictor.fixed_size):
        return ""
    values = network.loaded.dataset.value_range
    image = to_pixels(image, values) if values else image
    expected, logits = original(image).numpy(), network.predictor.model(image).numpy()
    return f"; worst logit off by {np.abs(logits - expected).max():.2g} of {np.ptp(expected):.2g}"
