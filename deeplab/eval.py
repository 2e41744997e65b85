"""Scores a checkpoint on a split: mIoU as the reference computes it; IoU, recall, precision and F1 of every class.

    python -m deeplab.eval --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

This prints a table and writes results.json, confusion_matrix.csv, confusion_matrix.png and TensorBoard scalars to
--eval_logdir. All GPUs of the machine share the images. --trimap_widths=1,2,4,8,16 and --boundary_scores measure the
quality of boundaries. --saved_model=EXPORT scores an export. --continuous waits for checkpoints in TRAIN_LOGDIR and
scores each of them.

    python -m deeplab.eval --compare=with=LOGDIR1,without=LOGDIR2 --dataset_dir=SHARDS --eval_logdir=DIR \\
      --trimap_widths=1,2,4,8,16 --boundary_scores

This scores several checkpoints or exports. It prints one table and writes comparison.json and a plot of mIoU against
the width of the trimap.

    python -m deeplab.eval --checkpoint=all --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

This scores every checkpoint that TRAIN_LOGDIR holds, the best one included. It prints one table and writes
checkpoints.json and checkpoints.png, a plot of mIoU against the step.
"""

from deeplab import cli
from deeplab.config.inference import EvalConfig


def evaluate(config):
    """Scores a checkpoint or an export, or several, as `config`, an `EvalConfig`, says."""
    from deeplab.programs import evaluate as program

    return program.evaluate(config)


def main():
    cli.main(evaluate, EvalConfig)


if __name__ == "__main__":
    main()
