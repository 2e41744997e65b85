"""Scores for the reader: a table on the terminal, results.json, CSV, plots, TensorBoard."""

import json
import math

import numpy as np
import tensorflow as tf

from deeplab import boundary, plots
from deeplab.checkpoints.bundle import write_text
from deeplab.visualize import save_png

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


class Edges:
    """The scores at boundaries that an EvalConfig asks for.

    Attributes:
      collectors: what `evaluation.score` shall feed.
    """

    def __init__(self, config, dataset):
        classes = dataset.num_classes, dataset.ignore_label
        self._names = [dataset.class_name(label) for label in range(dataset.num_classes)]
        self._trimaps = boundary.Trimaps(config.trimap_widths, *classes) if config.trimap_widths else None
        self._boundaries = boundary.Boundaries(*classes) if config.boundary_scores else None
        self.collectors = [one for one in (self._trimaps, self._boundaries) if one]

    def trimaps(self):
        """Returns {width: mIoU}; empty if not asked for."""
        return self._trimaps.result() if self._trimaps else {}

    def content(self):
        """Returns what results.json shall hold."""
        found = {}
        if self._trimaps:
            found["trimap_miou"] = {str(width): _null(miou) for width, miou in self.trimaps().items()}
        if self._boundaries:
            for name, scores in zip(("boundary_iou", "boundary_f"), self._boundaries.result(), strict=True):
                found[name] = _null(_mean(scores))
                found[f"{name}_per_class"] = dict(zip(self._names, map(_null, scores), strict=True))
        return found

    def table(self):
        """Returns lines for the terminal, each with its end."""
        lines = [f"mIoU within {width} px of the ignore label {_number(m)}" for width, m in self.trimaps().items()]
        if self._boundaries:
            iou, f_scores = self._boundaries.result()
            lines += [f"boundary IoU {_number(_mean(iou))}", f"boundary F-score {_number(_mean(f_scores))}"]
        return "".join(f"{line}\n" for line in lines)


def content(scores, subject, config):
    """Returns what results.json holds: what was scored, how, and the scores.

    Args:
      scores: `metrics.Scores`.
      subject: the `evaluation.Evaluation` that was scored.
      config: its `EvalConfig`.
    """
    loaded, dataset = subject.loaded, subject.split.dataset
    return {
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


def write(folder, content):
    """Writes results.json into `folder`, which is made if it is not there."""
    tf.io.gfile.makedirs(folder)
    write_text(tf.io.gfile.join(folder, FILE), json.dumps(content, indent=1) + "\n")


def draw(folder, scores, dataset, edges, step=0):
    """Writes the confusion matrix as CSV and picture, the plot of the trimaps, and TensorBoard scalars."""
    names = [dataset.class_name(label) for label in range(dataset.num_classes)]
    rows = [["label \\ prediction", *names]]
    rows += [[name, *map(str, counts)] for name, counts in zip(names, scores.confusion.tolist(), strict=True)]
    text = "".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\n" for row in rows)
    write_text(tf.io.gfile.join(folder, "confusion_matrix.csv"), text)
    matrix = plots.confusion(scores.confusion, names)
    save_png(tf.io.gfile.join(folder, "confusion_matrix.png"), matrix)
    if edges.trimaps():
        curve = plots.lines({"": edges.trimaps()}, "width of the trimap (pixels)", "mIoU")
        save_png(tf.io.gfile.join(folder, "trimap.png"), curve)
    _write_scalars(folder, scores, dataset, matrix, step)


def sides(size):
    """Returns (height, width) as text, e.g. 369x481."""
    return "x".join(map(str, size))


def _write_scalars(folder, scores, dataset, matrix, step):
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=step):
        for name in SUMMARY:
            tf.summary.scalar(f"eval/{name}", getattr(scores, name))
        for label, iou in enumerate(scores.class_iou):
            if not math.isnan(iou):
                tf.summary.scalar(f"eval_iou/{label:03}_{dataset.class_name(label).replace(' ', '_')}", iou)
        tf.summary.image("eval/confusion_matrix", matrix[None])
    writer.close()


def _number(value):
    return "-" if math.isnan(value) else f"{value:.4f}"


def _mean(values):
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _null(value):
    return None if math.isnan(value) else float(value)
