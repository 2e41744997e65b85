"""Scores a checkpoint on a split: mIoU as the reference computes it, IoU of every class, pixel accuracy.

    python -m deeplab.eval --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

prints a table and writes results.json, confusion_matrix.csv and .png and TensorBoard scalars to --eval_logdir.
--trimap_widths=1,2,4,8,16 and --boundary_scores look at the quality of boundaries; --saved_model=EXPORT scores an
export; --continuous watches TRAIN_LOGDIR and scores every new checkpoint. All GPUs of the machine share the images.

    python -m deeplab.eval --compare=with=LOGDIR1,without=LOGDIR2 --dataset_dir=SHARDS --eval_logdir=DIR \
      --trimap_widths=1,2,4,8,16 --boundary_scores

scores several checkpoints or exports: one table, comparison.json, and one plot of mIoU against the trimap's width.
"""

from deeplab import cli
from deeplab.config.inference import EvalConfig


def evaluate(config):
    """Scores one checkpoint, or with `continuous` each that appears, as `config`, an `EvalConfig`, says."""
    from deeplab.programs import evaluate as program

    return program.evaluate(config)


def main():
    cli.main(evaluate, EvalConfig)


if __name__ == "__main__":
    main()
