"""Scores for the reader: tables on the terminal, JSON for programs, CSV, plots, TensorBoard.

Functions take a `candidates.ScoredCandidate`, called `scored`.
"""

import math

import numpy as np
import tensorflow as tf

from deeplab.evaluation import plots
from deeplab.files import atomic, escaping, formats, places
from deeplab.pictures.drawing import save_png

RESULTS, COMPARISON, CHECKPOINTS = "results.json", "comparison.json", "checkpoints.json"  # names of the files
TRIMAP_PLOT = "trimap.png"
# No program writes such a file again after reading it, so that a field which is not known does no harm.
KIND = formats.Kind("the result of an evaluation", "evaluate again", others=None)
TRIMAP_AXES = "width of the trimap (pixels)", "mIoU"
SUMMARY = {  # attribute of `metrics.Scores`: its name on the terminal
    "mean_iou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean class accuracy",
    "frequency_weighted_iou": "frequency weighted IoU",
    "mean_f1": "mean F1 (Dice)",
}
CLASS_SCORES = {  # attribute of `metrics.Scores`: (its name in results.json, its name on the terminal)
    "class_iou": ("iou", "IoU"),
    "class_accuracy": ("recall", "recall"),
    "class_precision": ("precision", "precision"),
    "class_f1": ("f1", "F1"),
}
_WIDTH = 11  # letters of a column of scores
_AT_SOURCE = " at source size (labels brought back by nearest neighbour)"


def publish(scored, folder):
    """Prints the scores of one candidate, and writes them into `folder`; returns the content of results.json.

    The files are results.json, the confusion matrix as CSV and as a picture, a plot of the trimaps if the user asked
    for trimaps, and TensorBoard scalars.
    """
    print(table(scored))
    print("".join(f"{title} {_number(value)}\n" for title, value in _boundary_rows(scored).items()), end="")
    written = _write_json(folder, RESULTS, content(scored))
    matrix = plots.confusion(scored.scores.seen.confusion, _shown_names(scored))
    as_csv = plots.confusion_csv(scored.scores.seen.confusion, _shown_names(scored))
    atomic.write(tf.io.gfile.join(folder, "confusion_matrix.csv"), as_csv)
    save_png(tf.io.gfile.join(folder, "confusion_matrix.png"), matrix)
    _plot_trimaps(folder, {"": scored})
    _write_scalars(folder, scored, matrix)
    print(f"Wrote {folder}/{RESULTS}")
    return written


def publish_comparison(compared, folder):
    """Prints the scores of several candidates side by side, and writes them into `folder`.

    The files are comparison.json, whose content is returned, and, if the user asked for trimaps, a plot of mIoU in
    trimaps as in figure 5 of the DeepLabv3+ paper.

    Args:
      compared: list of `candidates.ScoredCandidate`.
      folder: where the files go.
    """
    by_name = {scored.candidate.name: scored for scored in compared}
    print(side_by_side({name: rows(scored) for name, scored in by_name.items()}))
    for name, scored in by_name.items():
        print(f"{name}: {_weights(scored.candidate.facts)}")
    written = _write_json(folder, COMPARISON, {"networks": {name: content(scored) for name, scored in by_name.items()}})
    _plot_trimaps(folder, by_name)
    print(f"Wrote {folder}/{COMPARISON}")
    return written


def _weights(facts):
    """Returns in words which weights the scores belong to."""
    made = f"{facts['saved_model']}, made of " if "saved_model" in facts else ""
    return f"{made}{facts['checkpoint']}, step {facts['step']}"


def publish_checkpoints(scored_ones, folder):
    """Prints the scores of the checkpoints of one training, and writes them into `folder`.

    The files are checkpoints.json, whose content is returned, and checkpoints.png, a plot of mIoU against the step.

    Args:
      scored_ones: list of `candidates.ScoredCandidate`, oldest first.
      folder: where the files go.
    """
    by_name = {scored.candidate.name: scored for scored in scored_ones}
    print(row_by_row({name: {**_summary_rows(scored), **_boundary_rows(scored)} for name, scored in by_name.items()}))
    known = {
        name: one.scores.seen.mean_iou for name, one in by_name.items() if not math.isnan(one.scores.seen.mean_iou)
    }
    if known:
        best = max(known, key=lambda name: known[name])
        print(f"Highest mIoU: {known[best]:.4f}, --checkpoint={best}")
    contents = {name: content(scored) for name, scored in by_name.items()}
    written = _write_json(folder, CHECKPOINTS, {"checkpoints": contents})
    curve = {scored.candidate.facts["step"]: scored.scores.seen.mean_iou for scored in scored_ones}
    save_png(tf.io.gfile.join(folder, "checkpoints.png"), plots.lines({"": curve}, "step", "mIoU"))
    print(f"Wrote {folder}/{CHECKPOINTS}")
    return written


def row_by_row(rows):
    """Returns the table of {name: {title: number}}; every name has a row, and every title a column."""
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    first = max(map(len, rows))
    lines = [" " * first + "".join(f"  {title:>6}" for title in titles)]
    for name, row in rows.items():
        cells = (f"  {_number(row.get(title, math.nan)):>{max(6, len(title))}}" for title in titles)
        lines.append(f"{name:{first}}" + "".join(cells))
    return "\n".join(lines)


def table(scored):
    """Returns the table of IoU, recall, precision, F1 and share of pixels for every class, and the scores below it.

    If images were resized, the IoU at source size has a column of its own.
    """
    seen, source = scored.scores
    names = _shown_names(scored)
    width = max(len(name) for name in names)
    total = max(1, seen.support.sum())
    resized = source is not seen
    titles = "".join(f"{title:>{_WIDTH}}" for _key, title in CLASS_SCORES.values())
    lines = [f"{'class':{width + 4}}{titles}{'pixels':>9}" + f"{'IoU, source size':>19}" * resized]
    for label, name in enumerate(names):
        share = f"{100 * seen.support[label] / total:.1f} %"
        columns = "".join(f"{_number(getattr(seen, score)[label]):>{_WIDTH}}" for score in CLASS_SCORES)
        last = f"{_number(source.class_iou[label]):>19}" * resized
        lines.append(f"{label:3} {name:{width}}{columns}{share:>9}{last}")
    lines += [f"{title} {_number(value)}" for title, value in _summary_rows(scored).items()]
    if not resized:
        lines[-len(SUMMARY)] += " (padding is ignored, so it is the same at source size)"
    return "\n".join(lines)


def rows(scored):
    """Returns {title: number} of all scores for `side_by_side`; the scores of single classes come last."""
    ious = zip(_shown_names(scored), scored.scores.seen.class_iou, strict=True)
    classes = {f"IoU of {name}": iou for name, iou in ious}
    return {**_summary_rows(scored), **_boundary_rows(scored), **classes}


def side_by_side(columns):
    """Returns the table of several networks, given as {name: `rows`}."""
    titles = list(dict.fromkeys(title for column in columns.values() for title in column))
    first = max(map(len, titles))
    widths = {name: max(8, len(name) + 2) for name in columns}
    lines = [" " * first + "".join(f"{name:>{width}}" for name, width in widths.items())]
    for title in titles:
        cells = (f"{_number(columns[name].get(title, math.nan)):>{width}}" for name, width in widths.items())
        lines.append(f"{title:{first}}" + "".join(cells))
    return "\n".join(lines)


def _summary_rows(scored):
    """Returns {title: score} of the whole split; at source size, too, if images were resized."""
    seen, source = scored.scores
    summary = {title: getattr(seen, name) for name, title in SUMMARY.items()}
    if source is not seen:
        summary |= {f"{title}{_AT_SOURCE}": getattr(source, name) for name, title in SUMMARY.items()}
    return summary


def _boundary_rows(scored):
    """Returns {title: score} of the scores at boundaries that the user asked for."""
    trimaps = scored.boundary_scores.trimap_miou()
    found = {f"mIoU within {width} px of the ignore label": miou for width, miou in trimaps.items()}
    contours = scored.boundary_scores.contours()
    if contours:
        found |= dict(zip(("boundary IoU", "boundary F-score"), map(_mean, contours), strict=True))
    return found


def content(scored):
    """Returns what results.json says: the facts about the candidate, then its scores; null for scores that are NaN."""
    seen, source = scored.scores
    summary = _summary_content(seen)
    return {
        **_portable(scored.candidate.facts),
        "miou": summary.pop("miou"),
        "miou_source_size": _null(source.mean_iou),
        **summary,
        **_class_content(seen, scored),
        **({} if source is seen else {"source_size": {**_summary_content(source), **_class_content(source, scored)}}),
        **_boundary_content(scored),
    }


def _portable(facts):
    """Returns the facts about a candidate with names in place of paths, which mean nothing on another machine."""
    named = {name: places.shortened(facts[name]) for name in ("saved_model", "checkpoint") if name in facts}
    return {**facts, **named}


def _summary_content(scores):
    return {"miou" if name == "mean_iou" else name: _null(getattr(scores, name)) for name in SUMMARY}


def _class_content(scores, scored):
    classes = [
        {
            "id": label,
            "name": name,
            **{key: _null(getattr(scores, score)[label]) for score, (key, _title) in CLASS_SCORES.items()},
            "accuracy": _null(scores.class_accuracy[label]),  # recall, as it was called before
            "pixels": int(scores.support[label]),
        }
        for label, name in enumerate(_class_names(scored))
    ]
    return {"classes": classes, "confusion_matrix": scores.confusion.tolist()}  # rows are labels


def _boundary_content(scored):
    found = {}
    trimaps = scored.boundary_scores.trimap_miou()
    if trimaps:
        found["trimap_miou"] = {str(width): _null(miou) for width, miou in trimaps.items()}
    contours = scored.boundary_scores.contours()
    if contours:
        for name, scores in zip(("boundary_iou", "boundary_f"), contours, strict=True):
            found[name] = _null(_mean(scores))
            found[f"{name}_per_class"] = dict(zip(_class_names(scored), map(_null, scores), strict=True))
    return found


def _plot_trimaps(folder, by_name):
    """Draws one curve for each of {name: scored}: mIoU against the width of the trimap; nothing without trimaps."""
    curves = {name: scored.boundary_scores.trimap_miou() for name, scored in by_name.items()}
    values = {width: miou for curve in curves.values() for width, miou in curve.items()}
    if values and all(map(math.isnan, values.values())):
        one = next(iter(by_name.values())).candidate
        print(
            f"Drew no {TRIMAP_PLOT}: no labelled pixel of {one.facts['split']} lies within {max(values)} px of a pixel "
            f"with the ignore label {one.dataset.ignore_label}"
        )
    elif values:
        save_png(tf.io.gfile.join(folder, TRIMAP_PLOT), plots.lines(curves, *TRIMAP_AXES))


def _write_json(folder, name, content):
    """Writes `content` as the file `name` into `folder`, made if it is not there; returns what was written."""
    tf.io.gfile.makedirs(folder)
    path, text = tf.io.gfile.join(folder, name), KIND.text(content)
    atomic.write(path, text)
    return KIND.parse(text, path)


def _write_scalars(folder, scored, matrix):
    """Writes the scores and the picture of the confusion matrix for TensorBoard."""
    seen, source = scored.scores
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=max(0, scored.candidate.facts["step"])):  # -1 says that the step is unknown
        for name in SUMMARY:
            tf.summary.scalar(f"eval/{name}", getattr(seen, name))
        if source is not seen:
            tf.summary.scalar("eval/mean_iou_source_size", source.mean_iou)
        for label, (name, iou) in enumerate(zip(_class_names(scored), seen.class_iou, strict=True)):
            if not math.isnan(iou):
                tf.summary.scalar(f"eval_iou/{label:03}_{escaping.file_name(name).replace(' ', '_')}", iou)
        tf.summary.image("eval/confusion_matrix", matrix[None])
    writer.close()


def sides(size):
    """Returns (height, width) as text, e.g. 369x481."""
    return "x".join(map(str, size))


def _shown_names(scored):
    """Returns the names of the classes for tables and pictures, where control characters would do harm."""
    return [escaping.terminal(name) for name in _class_names(scored)]


def _class_names(scored):
    dataset = scored.candidate.dataset
    return [dataset.class_name(label) for label in range(dataset.num_classes)]


def _number(value):
    return "-" if math.isnan(value) else f"{value:.4f}"


def _mean(values):
    """Returns the mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def _null(value):
    """Returns a float for JSON, which knows no NaN."""
    return None if math.isnan(value) else float(value)
