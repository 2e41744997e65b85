"""Trains a network on the shards of a data set.

    python -m deeplab.train --train_logdir=DIR --dataset_dir=SHARDS --training_number_of_steps=30000 ...

Resume: run the same command again. It continues from the newest checkpoint in --train_logdir and ends with exactly the
weights of an uninterrupted training. On SIGTERM and on Ctrl-C, the program saves a checkpoint and ends; a second Ctrl-C
ends it at once, without saving.
Fine-tune: --tf_initial_checkpoint starts a new training from the weights of another one, ours or the reference's.

Exit codes: 0 when the training is over; 2 after a mistake that one line tells, which the same command would repeat; 75
after a SIGTERM; 130 after Ctrl-C. After 75 and 130, the same command goes on.
"""

from deeplab import cli
from deeplab.config.training import TrainConfig


def train(config):
    """Trains as `config`, a `TrainConfig`, says. Returns the exit code: None, or 75 after a SIGTERM."""
    from deeplab.programs import train as program

    return program.train(config)


def main():
    cli.main(train, TrainConfig)


if __name__ == "__main__":
    main()
