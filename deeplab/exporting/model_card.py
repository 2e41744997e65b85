"""Writes model.json beside an export: what the network is, where it comes from, what it costs, how well it scores.

`inference.exports` reads it.
"""

import dataclasses

import tensorflow as tf

import deeplab
from deeplab import devices
from deeplab.data import catalog
from deeplab.errors import UserError
from deeplab.evaluation import report
from deeplab.files import atomic, escaping, manifest, places
from deeplab.inference.export_folder import CARD, CARD_FILE
from deeplab.inference.input_size import CARD_KEY
from deeplab.model.cost import count_multiply_adds
from deeplab.training.best import read_score

DEFAULT_SIZE = (513, 513)  # (height, width) without any crop size; reference: default of --crop_size


def write(folder, config, loaded, input_size, precision_reason=None):
    """Writes model.json into the folder of an export, after all other files: it records their sizes and hashes.

    Args:
      folder: the folder.
      config: the `ExportConfig`.
      loaded: the `trained.Trained` that was exported.
      input_size: the `InputSize` of the export.
      precision_reason: why --precision=auto chose the type in `config`; None if the user chose it.
    """
    content = _content(config, loaded, input_size)
    # Other formats have quantized weights, or an engine that chooses.
    content["precision"] = None if config.takes_one_size else config.precision
    content["quantize"] = config.quantize
    content["precision_reason"] = precision_reason
    # dataset.json is not recorded, since names of classes may be corrected in it.
    content["files"] = manifest.describe(folder, leave_out=(CARD_FILE, catalog.FILE))
    atomic.write(f"{folder}/{CARD_FILE}", CARD.text(content))


def image_size(config, loaded):
    """Returns the usual (height, width) of images for this export; the arguments are as in `write`.

    Multiply-adds are counted at the size at which the network sees such an image, and some formats take no other.
    """
    return tuple(loaded.config.crop_size or config.crop_size or DEFAULT_SIZE)


def image_size_of(card):
    """Returns the `image_size` of the export that a model.json describes."""
    return tuple(card["config"].get("crop_size") or card["crop_size"] or DEFAULT_SIZE)


def _content(config, loaded, input_size):
    dataset = loaded.dataset
    size = image_size(config, loaded)
    size = input_size.fitted(*size) if input_size.resizes(*size) else size
    passes = {"eval_scales": config.inference_scales, "add_flipped_images": config.add_flipped_images}
    return {
        "config": _network(loaded.config),
        "classes": [dataset.class_name(label) for label in range(loaded.config.num_classes)],
        "colors": dataset.colors,
        **{name: getattr(dataset, name) for name in ("source_ids", "source_colors") if getattr(dataset, name)},
        "checkpoint": places.shortened(loaded.checkpoint),
        "step": loaded.step,
        **({"weights_from": loaded.weights_from} if loaded.weights_from else {}),
        **{name: getattr(dataset, name) for name in ("value_range", "bands") if getattr(dataset, name)},
        "score": _score(loaded),
        "crop_size": config.crop_size,
        "inference_scales": config.inference_scales,
        "add_flipped_images": config.add_flipped_images,
        "resize": dataclasses.asdict(config.resize),
        CARD_KEY: input_size.card(),
        # Of the verification: the graph itself does not say how a GPU computes it.
        "tf32": devices.computes_in_tf32() if config.verify else None,
        "multiply_adds": count_multiply_adds(loaded.config, (*size, loaded.config.num_channels), **passes),
        "multiply_adds_size": size,
        "versions": {"deeplab": deeplab.__version__, "tensorflow": tf.__version__, "keras": tf.keras.__version__},
    }


def _network(config):
    """Returns {option: value} of a `ModelConfig`, with the name of the file of a cell in place of its path."""
    cell = config.dense_prediction_cell_json
    named = {"dense_prediction_cell_json": places.shortened(cell, 1)} if places.is_path(cell) else {}
    return dataclasses.asdict(config) | named


def _score(loaded):
    """Returns the score of this very checkpoint, {"miou"[, "split", "dataset"]}; None if it is not known.

    Sources: what eval wrote into the train_logdir, or else what training wrote beside its best checkpoint.
    """
    for path in tf.io.gfile.glob(tf.io.gfile.join(loaded.folder, f"eval_*/{report.RESULTS}")):
        try:
            results = report.KIND.read(path)
            if results["step"] == loaded.step:
                return {name: results[name] for name in ("miou", "split", "dataset")}
        except (UserError, KeyError) as error:  # somebody edited it, or another version wrote it
            print(escaping.terminal(f"{path}: no score is taken from it ({error})"))
    best = read_score(loaded.checkpoint.rpartition("/")[0])
    if best is None or best["step"] != loaded.step:
        return None
    return {"miou": best["mean_iou"], **{name: best[name] for name in ("split",) if name in best}}
