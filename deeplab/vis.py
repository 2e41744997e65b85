"""Draws what a checkpoint predicts on a split: image | truth | prediction | overlay | errors, with a legend.

    python -m deeplab.vis --checkpoint_dir=TRAIN_LOGDIR --dataset_dir=SHARDS

writes one PNG an image into segmentation_results/ of --vis_logdir, and with --also_save_raw_predictions the class ids
into raw_segmentation_results/, as evaluation servers take them: names of the files and sizes of the images as in the
data set, Cityscapes with its raw ids, PASCAL VOC as palette PNGs in its colours.
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
