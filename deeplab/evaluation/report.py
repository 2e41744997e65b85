"""Scores for the reader: a table on the terminal, results.json, CSV, plots, TensorBoard."""

import json
import math

import numpy as np
import tensorflow as tf

from deeplab.evaluation import boundary, plots
from deeplab.files import atomic
from deeplab.pictures.drawing import save_png

FILE = "results.json"
TRIMAP_AXES = "width of the trimap (pixels)", "mIoU"
SUMMARY = {  # attribute of `metrics.Scores`: its name on the terminal
    "mean_iou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean class accuracy",
    "frequency_weighted_iou": "frequency weighted IoU",
}


def table(result, dataset):
    """Returns the table of IoU, accuracy and share of pixels for every class, and the scores below it.

    Args:
      result: `scoring.Result`. IoU at source size has a column of its own where it is another one.
      dataset: `catalog.Dataset`.
    """
    seen, source = result
    names = [dataset.class_name(label) for label in range(dataset.num_classes)]
    width = max(len(name) for name in names)
    total = max(1, seen.support.sum())
    resized = source is not seen
    lines = [f"{'class':{width + 4}}{'IoU':>8}{'accuracy':>10}{'pixels':>9}" + f"{'IoU, source size':>19}" * resized]
    for label, name in enumerate(names):
        share = f"{100 * seen.support[label] / total:.1f} %"
        iou, accuracy = _number(seen.class_iou[label]), _number(seen.class_accuracy[label])
        last = f"{_number(source.class_iou[label]):>19}" * resized
        lines.append(f"{label:3} {name:{width}}{iou:>8}{accuracy:>10}{share:>9}{last}")
    lines += [f"{title} {_number(value)}" for title, value in _summary(result).items()]
    if not resized:
        lines[-len(SUMMARY)] += " (padding is ignored, so it is the same at source size)"
    return "\n".join(lines)


def _summary(result):
    """Returns {title: score}; those at source size too, where images were resized."""
    rows = {title: getattr(result.seen, name) for name, title in SUMMARY.items()}
    if result.source is not result.seen:
        rows |= {f"{title}{_AT_SOURCE}": getattr(result.source, name) for name, title in SUMMARY.items()}
    return rows


_AT_SOURCE = " at source size (labels brought back by nearest neighbour)"


def rows(result, dataset, edges):
    """Returns {title: number} of all scores, those of classes last; for `side_by_side`."""
    classes = {f"IoU of {dataset.class_name(label)}": iou for label, iou in enumerate(result.seen.class_iou)}
    return {**_summary(result), **edges.rows(), **classes}


def side_by_side(columns):
    """Returns the table of several networks, {name: `rows`}."""
    titles = list(dict.fromkeys(title for column in columns.values() for title in column))
    first = max(map(len, titles))
    widths = {name: max(8, len(name) + 2) for name in columns}
    lines = [" " * first + "".join(f"{name:>{width}}" for name, width in widths.items())]
    for title in titles:
        cells = (f"{_number(columns[name].get(title, math.nan)):>{width}}" for name, width in widths.items())
        lines.append(f"{title:{first}}" + "".join(cells))
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

    def rows(self):
        """Returns {title: number} for the terminal."""
        rows = {f"mIoU within {width} px of the ignore label": miou for width, miou in self.trimaps().items()}
        if self._boundaries:
            iou, f_scores = self._boundaries.result()
            rows |= {"boundary IoU": _mean(iou), "boundary F-score": _mean(f_scores)}
        return rows

    def table(self):
        """Returns lines for the terminal, each with its end."""
        return "".join(f"{title} {_number(value)}\n" for title, value in self.rows().items())


def content(result, dataset):
    """Returns the scores in a `scoring.Result` as results.json holds them."""
    seen, source = result
    return {
        "miou": _null(seen.mean_iou),
        "miou_source_size": _null(source.mean_iou),
        **{name: _null(getattr(seen, name)) for name in SUMMARY if name != "mean_iou"},
        "classes": _classes(seen, dataset),
        "confusion_matrix": seen.confusion.tolist(),  # rows are labels
        **({} if source is seen else {"source_size": _at_source(source, dataset)}),
    }


def _at_source(scores, dataset):
    names = [name for name in SUMMARY if name != "mean_iou"]
    content = {"miou": _null(scores.mean_iou), **{name: _null(getattr(scores, name)) for name in names}}
    return {**content, "classes": _classes(scores, dataset), "confusion_matrix": scores.confusion.tolist()}


def _classes(scores, dataset):
    return [
        {
            "id": label,
            "name": dataset.class_name(label),
            "iou": _null(scores.class_iou[label]),
            "accuracy": _null(scores.class_accuracy[label]),
            "pixels": int(scores.support[label]),
        }
        for label in range(dataset.num_classes)
    ]


def write(folder, name, content):
    """Writes `content` as the file `name` into `folder`, which is made if it is not there."""
    tf.io.gfile.makedirs(folder)
    atomic.write(tf.io.gfile.join(folder, name), json.dumps(content, indent=1) + "\n")


def draw(folder, result, dataset, edges, step=0):
    """Writes the confusion matrix as CSV and picture, the plot of the trimaps, and TensorBoard scalars."""
    scores = result.seen
    names = [dataset.class_name(label) for label in range(dataset.num_classes)]
    rows = [["label \\ prediction", *names]]
    rows += [[name, *map(str, counts)] for name, counts in zip(names, scores.confusion.tolist(), strict=True)]
    text = "".join(",".join(f'"{cell}"' if "," in cell else cell for cell in row) + "\n" for row in rows)
    atomic.write(tf.io.gfile.join(folder, "confusion_matrix.csv"), text)
    matrix = plots.confusion(scores.confusion, names)
    save_png(tf.io.gfile.join(folder, "confusion_matrix.png"), matrix)
    if edges.trimaps():
        save_png(tf.io.gfile.join(folder, "trimap.png"), plots.lines({"": edges.trimaps()}, *TRIMAP_AXES))
    _write_scalars(folder, result, dataset, matrix, step)


def sides(size):
    """Returns (height, width) as text, e.g. 369x481."""
    return "x".join(map(str, size))


def _write_scalars(folder, result, dataset, matrix, step):
    scores = result.seen
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=step):
        for name in SUMMARY:
            tf.summary.scalar(f"eval/{name}", getattr(scores, name))
        if result.source is not scores:
            tf.summary.scalar("eval/mean_iou_source_size", result.source.mean_iou)
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
