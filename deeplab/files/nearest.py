"""Names that a mistyped name may have meant, by its letters, its words, or what other programs call the same thing."""

import difflib
from collections.abc import Iterable

# What other programs call our options: {their name: our names, the likeliest first}.
_ALIASES = {
    "address": ("host",),
    "arch": ("model_variant",),
    "backbone": ("model_variant",),
    "batch_size": ("train_batch_size", "eval_batch_size"),
    "ckpt": ("checkpoint_dir", "tf_initial_checkpoint"),
    "crop_size": ("train_crop_size", "eval_crop_size"),
    "data": ("dataset_dir",),
    "data_dir": ("dataset_dir",),
    "data_path": ("dataset_dir",),
    "epochs": ("training_number_of_steps",),
    "fp16": ("mixed_precision", "precision"),
    "gpus": ("distribution_strategy",),
    "image": ("input",),
    "image_dir": ("input",),
    "images": ("input",),
    "input_dir": ("input",),
    "learning_rate": ("base_learning_rate",),
    "logdir": ("train_logdir", "eval_logdir", "vis_logdir"),
    "lr": ("base_learning_rate",),
    "max_steps": ("training_number_of_steps",),
    "model": ("model_variant", "saved_model"),
    "model_dir": ("train_logdir", "checkpoint_dir", "saved_model"),
    "model_path": ("checkpoint_dir", "saved_model"),
    "num_epochs": ("training_number_of_steps",),
    "num_gpus": ("distribution_strategy",),
    "num_steps": ("training_number_of_steps",),
    "out": ("output", "output_dir", "export_path"),
    "out_dir": ("output", "output_dir", "export_path", "vis_logdir", "train_logdir"),
    "output_dir": ("output", "export_path", "vis_logdir", "train_logdir"),
    "pretrained": ("tf_initial_checkpoint", "checkpoint_dir"),
    "resume": ("train_logdir",),
    "steps": ("training_number_of_steps",),
    "weights": ("tf_initial_checkpoint", "checkpoint_dir"),
    # and our commands
    "bench": ("benchmark",),
    "convert": ("export",),
    "evaluate": ("eval",),
    "fit": ("train",),
    "infer": ("predict",),
    "inference": ("predict",),
    "lint": ("check",),
    "prepare": ("build",),
    "segment": ("predict",),
    "server": ("serve",),
    "serving": ("serve",),
    "test": ("eval",),
    "validate": ("eval", "check"),
    "visualise": ("vis",),
    "visualize": ("vis",),
}
_LEAST = 0.75  # likeness of a name that is worth saying
_MOST = 3  # names that are said


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Returns up to three of the names `known` that `name` may have meant, the likeliest first; [] if none is like it.

    Names that other programs have for the same thing come first, then names that consist of the same words (joined by
    "_" or "-"), and of the same letters.
    """
    known = list(known)
    plain = name.lower().replace("-", "_")
    meant = [other for other in _ALIASES.get(plain, ()) if other in known]
    scored = sorted((-_likeness(plain, other), len(other), other) for other in known if other not in meant)
    return [*meant, *(other for score, _length, other in scored if -score >= _LEAST and not meant)][:_MOST]


def hint(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Returns "; did you mean A or B?" for `nearest`, each name after `prefix`, or "" where nothing is near."""
    found = [prefix + other for other in nearest(name, known)]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _likeness(name, other):
    """Returns how like two names are, 0 to 1: by their letters, or by the share of their words that is the same."""
    letters = difflib.SequenceMatcher(None, name, other).ratio()
    words, others = set(name.split("_")), set(other.replace("-", "_").split("_"))
    met = len(words & others)
    return max(letters, met / len(words) * (0.8 + 0.2 * met / len(others)))
