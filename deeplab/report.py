"""Scores for the reader: a table on the terminal, results.json, TensorBoard scalars."""

import json
import math

import tensorflow as tf

from deeplab.trained import write_text

FILE = "results.json"
SUMMARY = {  # attribute of `metrics.Scores`: its name on the terminal
    "mean_iou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean class accuracy",
    "frequency_weighted_iou": "frequency weighted IoU",
}


def table(scores, dataset):
    """Returns the table of IoU, accuracy and share of pixels for every class, and the scores below it."""
    names = [dataset.class_name(label) for label in range(dataset.num_classes)]
    width = max(len(name) for name in names)
    total = max(1, scores.support.sum())
    lines = [f"{'class':{width + 4}}{'IoU':>8}{'accuracy':>10}{'pixels':>9}"]
    for label, name in enumerate(names):
        share = f"{100 * scores.support[label] / total:.1f} %"
        iou, accuracy = _number(scores.class_iou[label]), _number(scores.class_accuracy[label])
        lines.append(f"{label:3} {name:{width}}{iou:>8}{accuracy:>10}{share:>9}")
    lines += [f"{title} {getattr(scores, name):.4f}" for name, title in SUMMARY.items()]
    return "\n".join(lines)


def write(folder, scores, subject, config):
    """Writes results.json and TensorBoard scalars into `folder`.

    Args:
      folder: made if it is not there.
      scores: `metrics.Scores`.
      subject: the `evaluation.Evaluation` that was scored.
      config: its `EvalConfig`.
    """
    tf.io.gfile.makedirs(folder)
    loaded, dataset = subject.loaded, subject.split.dataset
    content = {
        "checkpoint": loaded.checkpoint,
        "step": loaded.step,
        "dataset": dataset.name,
        "split": config.eval_split,
        "num_images": len(subject.split),
        "model_variant": loaded.config.model_variant,
        "output_stride": loaded.config.output_stride,
        "eval_crop_size": subject.size,
        "eval_scales": config.passes.eval_scales,
        "add_flipped_images": config.passes.add_flipped_images,
        "miou": scores.mean_iou,
        **{name: getattr(scores, name) for name in SUMMARY if name != "mean_iou"},
        "classes": [
            {
                "id": label,
                "name": dataset.class_name(label),
                "iou": _null(scores.class_iou[label]),
                "accuracy": _null(scores.class_accuracy[label]),
                "pixels": int(scores.support[label]),
            }
            for label in range(dataset.num_classes)
        ],
        "confusion_matrix": scores.confusion.tolist(),  # rows are labels
    }
    write_text(tf.io.gfile.join(folder, FILE), json.dumps(content, indent=1) + "\n")
    _write_scalars(folder, scores, dataset, max(0, loaded.step))


def sides(size):
    """Returns (height, width) as text, e.g. 369x481."""
    return "x".join(map(str, size))


def _write_scalars(folder, scores, dataset, step):
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=step):
        for name in SUMMARY:
            tf.summary.scalar(f"eval/{name}", getattr(scores, name))
        for label, iou in enumerate(scores.class_iou):
            if not math.isnan(iou):
                tf.summary.scalar(f"eval_iou/{label:03}_{dataset.class_name(label).replace(' ', '_')}", iou)
    writer.close()


def _number(value):
    return "-" if math.isnan(value) else f"{value:.4f}"


def _null(value):
    return None if math.isnan(value) else float(value)
