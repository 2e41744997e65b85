"""Segments photographs and videos with a trained network or an exported one.

    python -m deeplab.predict --checkpoint_dir=TRAIN_LOGDIR --input=PHOTO_OR_VIDEO_OR_FOLDER --output=DIR
    python -m deeplab.predict --saved_model=EXPORT --input='photos/*.jpg' --output=DIR

This writes NAME.png (ids) and NAME_overlay.png for every image, and NAME.mp4 with the overlays for every video. The
pixel values of NAME.png are the ids of the label files that the network learned from, where they are known, else class
ids; a palette has their colours. --write=coco (labelme, cvat, label-studio, yolo) writes annotations for labelling
tools. A folder is searched with the folders below it, and DIR gets the same folders. The new video has the size, frame
rate and number of frames of the original, but no sound. Videos need pip install av.

After an interruption, run the same command again: it skips finished files, unless the input changed or --overwrite is
given. DIR/predict.json records the network and its settings; the program refuses to mix others into the same folder.
A file that cannot be read is reported and left out, and the exit code is then 1. What a file holds and the network
cannot see, such as further pages or transparency, is told in one line for each kind.
"""

from deeplab import cli
from deeplab.config.inference import PredictConfig


def predict(config):
    """Segments the files that `config`, a `PredictConfig`, names. Returns the exit code."""
    from deeplab.programs import predict as program

    return program.predict(config)


def main():
    cli.main(predict, PredictConfig)


if __name__ == "__main__":
    main()
