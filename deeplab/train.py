"""Trains a network on the shards of a data set.

    python -m deeplab.train --train_logdir=DIR --dataset_dir=SHARDS --training_number_of_steps=30000 ...

Resume: run the same command again. It continues from the newest checkpoint in --train_logdir and ends with exactly the
weights of an uninterrupted training. On SIGTERM, the program saves a checkpoint and ends with exit code 75.
Fine-tune: --tf_initial_checkpoint starts a new training from the weights of another one, ours or the reference's.
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
