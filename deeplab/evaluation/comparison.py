"""Several networks on one split: one table, one file, one plot of mIoU in trimaps as in figure 5 of DeepLabv3+."""

import tensorflow as tf

from deeplab.errors import UserError
from deeplab.evaluation import candidates, plots, report
from deeplab.pictures.drawing import save_png

FILE = "comparison.json"


def compare(config):
    """Scores what `config.compare`, of an `EvalConfig`, names; all are opened before the first one is scored."""
    networks = {name: _open(config, name, path) for name, path in config.contestants}
    columns, found = {}, {}
    for name, network in networks.items():
        print(f"{name}: {network.title}")
        dataset = network.split.dataset
        edges = report.Edges(config, dataset)
        result = network.score(edges.collectors)
        columns[name] = report.rows(result, dataset, edges)
        found[name] = {**network.about, **report.content(result, dataset), **edges.content()}
    print(report.side_by_side(columns))
    folder = config.eval_logdir
    report.write(folder, FILE, {"networks": found})
    if config.trimap_widths:
        curves = {name: _curve(content["trimap_miou"]) for name, content in found.items()}
        save_png(tf.io.gfile.join(folder, "trimap.png"), plots.lines(curves, *report.TRIMAP_AXES))
    print(f"Wrote {folder}/{FILE}")


def _open(config, name, path):
    try:
        return candidates.of_path(config, path)
    except UserError as error:
        raise UserError(f"compare={name}={path}: {error}") from None


def _curve(trimaps):
    return {int(width): miou for width, miou in trimaps.items() if miou is not None}
