"""A checkpoint or an export of `python -m deeplab.export`, opened as what turns images into labels.

predict and `deeplab.Segmenter` share these functions, so that they give the same labels.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deeplab import devices
from deeplab.config.model import ModelConfig
from deeplab.config.options import differences, require
from deeplab.data import catalog
from deeplab.data.channels.value_range import to_pixels
from deeplab.errors import UserError
from deeplab.files import paths, places, progress_bar
from deeplab.inference import batches, export_folder, exports, input_size, output_folder, tiles, trained, untrained
from deeplab.inference.predictor import Predictor
from deeplab.pictures import mask_ids


class Opened(NamedTuple):
    """What turns images into labels, whether it is a checkpoint or an export.

    Attributes:
      labels: function (H, W, C) -> (H, W) int32. The image has the channels of `dataset` and is uint8, or float32 with
        the values of files where the data set has a range of values.
      with_probabilities: function (H, W, C) -> (H, W) int32 and (H, W, K) float32, or None where the
        file gives labels alone.
      dataset: what the labels mean, and their colours.
      settings: {name: value} of all that the results depend on except for the image; JSON.
      notice: says for the first image that it is seen at another size.
      batched: the `batches.Batched` that gives the labels of several images, or None: one image at a time.
      network: what it is, in a few words.
    """

    labels: Callable[[np.ndarray], np.ndarray]
    with_probabilities: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None
    dataset: catalog.Dataset
    settings: dict[str, Any]
    notice: input_size.Notice = input_size.Notice(input_size.InputSize())
    batched: batches.Batched | None = None
    network: str = ""


def open_export(config):
    """Returns the `Opened` of a SavedModel that export wrote."""
    path = export_folder.find(config.saved_model).path
    export = exports.load(path, required=(exports.DEFAULT_SIGNATURE,))
    if config.save_probabilities and not export.has_probabilities:
        raise UserError(
            f"--save_probabilities: {path} gives none (no signature `reference`); export it again, or use "
            "--checkpoint_dir"
        )
    settings = {
        "saved_model": output_folder.network_name(path),
        **_tf32(),
        **paths.identity(f"{path}/{export_folder.GRAPH_FILE}"),  # another export may take the place of this one
    }
    dataset, notice = export.dataset(config.dataset), input_size.Notice(input_size.of_card(export.card))
    catalog.refuse_other(config.dataset, dataset)
    together = batches.of_export(export)
    if together is None:
        require(config.batch_size in (None, 1), "batch_size", config.batch_size, f"1, since {path} takes one at a time")
    network = described(export.card, "a SavedModel of another program")
    both = export.segment_with_probabilities if export.has_probabilities else None
    return Opened(export.segment, both, dataset, settings, notice, together, network)


def open_checkpoint(config):
    """Returns the `Opened` of a train_logdir or another checkpoint."""
    named = catalog.load(None, config.dataset_name)
    loaded = trained.load_configured(config, config.weights, config.model, named)
    catalog.refuse_other(config.dataset, loaded.dataset)
    seen = input_size.resolve(config.input_size, loaded.trained_size)
    passes, settings, notice = config.passes, _settings(config, loaded, seen), input_size.Notice(seen, config.tiles)
    untrained.treat(loaded, config.zero_untrained_taps)
    predictor = Predictor(loaded.model, config.crop_size, passes.eval_scales, passes.add_flipped_images)
    network = _network(loaded.config.model_variant, loaded.step)
    values = loaded.dataset.value_range if loaded.dataset else ()
    if config.tiles.tile_size:
        window = tiles.window(predictor, config.tiles)
        found = (_of_values(one, values) for one in (window, window.with_probabilities))
        return Opened(*found, loaded.dataset, settings, notice, network=network)
    if seen.is_unknown:
        progress_bar.note(str(seen))
    one = [batches.image_spec(loaded.config.num_channels, 1, values)]  # one trace for images of every size
    labels = tf.function(lambda image: input_size.segment(predictor, image, seen)[0], input_signature=one)
    both = tf.function(lambda image: input_size.segment(predictor, image, seen), input_signature=one)
    return Opened(
        _of_values(lambda image: labels(image[None])[0].numpy(), values),
        _of_values(lambda image: tuple(result[0].numpy() for result in both(image[None])), values),
        loaded.dataset,
        settings,
        notice,
        batches.of_predictor(predictor, seen, values),
        network,
    )


def as_written(opened, written):
    """Returns the `Opened` whose data set has the ids that a `WrittenConfig` asks for.

    Ids other than class ids and another tolerance are settings, too, so that one folder holds one kind of results.
    """
    dataset, settings = opened.dataset, dict(opened.settings)
    if written.class_ids:
        dataset = mask_ids.without(dataset)
    if mask_ids.sentence(dataset):
        settings["source_ids"] = dataset.source_ids
    if written.annotations and written.polygon_tolerance != type(written)().polygon_tolerance:
        settings["polygon_tolerance"] = written.polygon_tolerance
    return opened._replace(dataset=dataset, settings=settings)


def _of_values(segment, values):
    """Returns a function of an image with the values of its file, for one of pixels in [0, 255]; see `value_range`."""
    return (lambda image: segment(to_pixels(image, values))) if values else segment


def described(card, unknown):
    """Returns in a few words what the network of an export is, from the content of its model.json, or `unknown`."""
    return _network(card["config"]["model_variant"], card["step"]) if card else unknown


def _network(variant, step):
    return variant if step in (None, -1) else f"{variant} of step {step}"


def _settings(config, loaded, seen):
    """Returns the settings of an `Opened` that is a checkpoint."""
    window = dataclasses.asdict(config.tiles) if config.tiles.tile_size else {}
    resized = {"input_size": seen.card()} if seen.fit_into and not window else {}
    return {
        "checkpoint": output_folder.network_name(loaded.checkpoint),
        "step": loaded.step,
        **{
            f"network.{name}": output_folder.network_name(value) if places.is_path(value) else value
            for name, (value, _default) in differences(loaded.config, ModelConfig()).items()
        },
        "dataset": loaded.dataset and loaded.dataset.name,
        "use_moving_averages": config.use_moving_averages,
        **({"zero_untrained_taps": True} if config.zero_untrained_taps else {}),
        "crop_size": config.crop_size,
        **dataclasses.asdict(config.passes),
        **window,
        **resized,
        **_tf32(),
    }


def _tf32():
    """Returns the setting of labels that were computed in TF32. Without it, folders from before the flag go on."""
    return {"tf32": True} if devices.computes_in_tf32() else {}
