"""Scores a checkpoint on a split: mIoU as the reference computes it, IoU of every class, pixel accuracy.

    python -m deeplab.eval --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

prints a table and writes results.json, confusion_matrix.csv and .png and TensorBoard scalars to --eval_logdir.
--trimap_widths=1,2,4,8,16 and --boundary_scores look at the quality of boundaries;
--continuous watches TRAIN_LOGDIR and scores every new checkpoint.
"""

import dataclasses
import itertools

from deeplab import cli
from deeplab.config.inference import EvalConfig


def evaluate(config):
    """Scores one checkpoint, or with `continuous` each that appears, as `config`, an `EvalConfig`, says."""
    from deeplab import trained

    if not config.continuous:
        return evaluate_checkpoint(config)
    new = trained.new_checkpoints(config.checkpoint_dir, config.eval_interval_secs, config.eval_timeout_secs)
    for checkpoint in itertools.islice(new, config.max_number_of_evaluations or None):
        evaluate_checkpoint(dataclasses.replace(config, checkpoint=checkpoint))
    return None


def evaluate_checkpoint(config):
    """Scores the checkpoint that `config` names; prints and writes the result."""
    import tensorflow as tf

    from deeplab import evaluation, report

    # From what: the images of the split, and the network as it was trained.
    subject = evaluation.prepare(config, config.eval_split, config.eval_crop_size)
    loaded, dataset = subject.loaded, subject.split.dataset
    print(f"{loaded.checkpoint}: {loaded.config.model_variant}, output stride {loaded.config.output_stride}")
    print(f"{config.eval_split} of {dataset.name}: {len(subject.split)} images, padded to {report.sides(subject.size)}")

    # Go: every image once; pixels are counted on the device.
    edges = report.Edges(config, dataset)
    if config.tiles.tile_size:
        scores = evaluation.score_in_tiles(subject, config.resize, config.tiles, edges.collectors)
    else:
        scores = evaluation.score(subject, config.resize, config.eval_batch_size, edges.collectors)

    # What came out: for the eye, for programs, for TensorBoard.
    print(report.table(scores, dataset))
    folder = config.eval_logdir or tf.io.gfile.join(loaded.folder, f"eval_{config.eval_split}")
    print(edges.table(), end="")
    report.write(folder, report.content(scores, subject, config) | edges.content())
    report.draw(folder, scores, dataset, edges, max(0, loaded.step))
    print(f"Wrote {folder}/results.json")


def main():
    cli.main(evaluate, EvalConfig)


if __name__ == "__main__":
    main()
