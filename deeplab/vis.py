"""Draws what a checkpoint predicts on a split of a data set.

    python -m deeplab.vis --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

This writes one PNG file per image to the folder segmentation_results in --vis_logdir. The file shows image, ground
truth, prediction, overlay and errors side by side, with a legend.

--also_save_raw_predictions writes the ids to the folder raw_segmentation_results, in the form that evaluation
servers accept: names and sizes as in the data set, Cityscapes with its raw ids. The PNG files have a palette with the
colours of the classes, except for Cityscapes and ADE20K, whose servers take files without one.
"""

from deeplab import cli
from deeplab.config.inference import VisConfig


def visualize(config):
    """Draws the images of one split as `config`, a `VisConfig`, says."""
    from deeplab.programs import draw as program

    return program.visualize(config)


def main():
    cli.main(visualize, VisConfig)


if __name__ == "__main__":
    main()
