"""Trains a network on the shards of a data set.

    python -m deeplab.train --train_logdir=DIR --dataset_dir=SHARDS --training_number_of_steps=30000 ...

Resume: the same command with the same --train_logdir goes on where the training was interrupted, and ends with exactly
the weights of an uninterrupted one. Fine-tune: --tf_initial_checkpoint starts a new training from the weights of
another one, ours or the reference's. SIGTERM saves and ends with exit code 75: the same command goes on.
"""

from deeplab import cli
from deeplab.config.training import TrainConfig


def train(config):
    """Trains as `config`, a TrainConfig, says; returns the exit code: None, or 75 when SIGTERM came."""
    from deeplab.programs import train as program

    return program.train(config)


def main():
    cli.main(train, TrainConfig)


if __name__ == "__main__":
    main()
