"""Segments photographs and videos with a trained network or an exported one.

    python -m deeplab.predict --checkpoint_dir=TRAIN_LOGDIR --input=PHOTO_OR_VIDEO_OR_FOLDER --output=DIR
    python -m deeplab.predict --saved_model=EXPORT --input='photos/*.jpg' --output=DIR

writes NAME.png (class ids) and NAME_overlay.png for every image, and for every video NAME.mp4, the overlays with its
size, frame rate and number of frames. Videos need pip install "deeplab[video]"; sound is left out.

The same command goes on where it was stopped: what is finished is skipped, unless --overwrite is given or the input
changed. DIR/predict.json remembers the network and its settings; other ones are refused there. A file that cannot be
read is reported and skipped; the exit code is 1 then.
"""

from deeplab import cli
from deeplab.config.inference import PredictConfig


def predict(config):
    """Segments the files that `config`, a `PredictConfig`, names; returns the exit code."""
    from deeplab.programs import predict as program

    return program.predict(config)


def main():
    cli.main(predict, PredictConfig)


if __name__ == "__main__":
    main()
