"""Segments photographs with a trained network or an exported one.

    python -m deeplab.predict --checkpoint_dir=TRAIN_LOGDIR --input=PHOTO_OR_FOLDER --output=DIR
    python -m deeplab.predict --saved_model=EXPORT --input='photos/*.jpg' --output=DIR

writes NAME.png (class ids) and NAME_overlay.png for every image. A file that cannot be read is reported and skipped;
the exit code is 1 then.
"""

import sys

from deeplab import cli
from deeplab.config.inference import PredictConfig
from deeplab.errors import UserError

EXIT_SOME_FAILED = 1


def predict(config):
    """Segments the images that `config`, a `PredictConfig`, names; returns the exit code."""
    import tensorflow as tf

    from deeplab import evaluation, images

    # From what, with what, where to.
    files = images.find(config.input)
    segment, dataset = _exported(config) if config.saved_model else _trained(config)
    tf.io.gfile.makedirs(config.output)

    # Go: a bad file must not stop the others.
    failed = 0
    with evaluation.progress(len(files), "image") as bar:
        for path, name in zip(files, images.unique_names(files), strict=True):
            try:
                image = images.read(path)
                _write(tf.io.gfile.join(config.output, name), image, segment(image), dataset)
            except UserError as error:
                failed += 1
                bar.write(f"skipped {error}", file=sys.stderr)
            bar.update()
    print(f"Segmented {len(files) - failed} of {len(files)} images into {config.output}")
    return EXIT_SOME_FAILED if failed else 0


def _trained(config):
    """Returns (function image -> labels, data set) of a checkpoint."""
    import tensorflow as tf

    from deeplab import trained
    from deeplab.data import catalog
    from deeplab.inference import Predictor
    from deeplab.sliding import SlidingWindow

    named = catalog.load(None, config.dataset_name)
    loaded = trained.load(
        config.checkpoint_dir, config.checkpoint, config.model, config.model_defaults, named, config.use_moving_averages
    )
    passes = config.passes
    predictor = Predictor(loaded.model, config.crop_size, passes.eval_scales, passes.add_flipped_images)
    if config.tiles.tile_size:
        return SlidingWindow(predictor, config.tiles.tile_size, config.tiles.tile_overlap), loaded.dataset
    any_size = [tf.TensorSpec((1, None, None, 3), tf.uint8)]
    labels = tf.function(lambda images: predictor(images)[0], input_signature=any_size)
    return lambda image: labels(image[None])[0].numpy(), loaded.dataset


def _exported(config):
    """Returns (function image -> labels, data set) of a SavedModel that export wrote."""
    import tensorflow as tf

    from deeplab.data import catalog

    folder = newest_version(config.saved_model)
    try:
        module = tf.saved_model.load(folder)
    except OSError as error:
        raise UserError(f"--saved_model={config.saved_model}: no SavedModel ({error}); name DIR/VERSION") from None

    def segment(image):
        return module.signatures["serving_default"](images=tf.constant(image[None]))["labels"][0].numpy()

    return segment, catalog.load(folder, config.dataset)


def newest_version(folder):
    """Returns the newest VERSION/ in an --export_path, or the folder itself where there is none."""
    import tensorflow as tf

    names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    versions = [int(name.rstrip("/")) for name in names if name.rstrip("/").isdigit()]
    return tf.io.gfile.join(folder, str(max(versions))) if versions else folder


def _write(stem, image, labels, dataset):
    from deeplab import visualize as draw
    from deeplab.data import catalog

    draw.save_png(f"{stem}.png", labels)
    draw.save_png(f"{stem}_overlay.png", draw.overlay(image, labels, catalog.label_colormap(dataset)))


def main():
    cli.main(predict, PredictConfig)


if __name__ == "__main__":
    main()
