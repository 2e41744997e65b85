"""Writes a SavedModel that segments images of any size, without this project.

    python -m deeplab.export --checkpoint_dir=TRAIN_LOGDIR --export_path=DIR

makes DIR/1 (then DIR/2, ...). Signatures: `serving_default`, images (B, H, W, 3) uint8 -> labels (B, H, W) int32;
`bytes`, JPEG or PNG files image_bytes (B,) -> PNG files of class ids label_bytes (B,); `reference`, ImageTensor ->
SemanticPredictions, SemanticProbabilities, as the original's frozen graph. Beside them lie model.json and dataset.json
(what it is, what it costs, its classes and colours) and warm-up requests for TensorFlow Serving.
"""

from deeplab import cli
from deeplab.config.export import ExportConfig
from deeplab.errors import UserError


def export(config):
    """Exports one checkpoint as `config`, an `ExportConfig`, says; prints where it is."""
    import tensorflow as tf

    from deeplab import model_card, trained, warmup
    from deeplab.data import catalog
    from deeplab.inference import Predictor
    from deeplab.serving import Serving

    # From what: the network as it was trained, for images padded to the crop size or as large as they come.
    dataset = catalog.load(None, config.dataset_name)
    source = config.checkpoint_path or config.checkpoint_dir
    loaded = trained.load(source, config.checkpoint, config.model, config.model_defaults, dataset)
    print(f"{loaded.checkpoint}: {loaded.config.model_variant}, {loaded.config.num_classes} classes")

    # What: the same path as eval, behind signatures.
    predictor = Predictor(loaded.model, config.crop_size, config.inference_scales, config.add_flipped_images)
    colors = catalog.label_colormap(loaded.dataset) if config.with_colors else None
    module = Serving(predictor, config.resize, config.with_probabilities, config.with_logits, colors)

    # Go: written aside and renamed, so that a server which watches the folder never sees half of it.
    folder = next_version(config.export_path)
    unfinished = f"{config.export_path.rstrip('/')}/unfinished-{folder.rpartition('/')[2]}"
    if tf.io.gfile.exists(unfinished):
        tf.io.gfile.rmtree(unfinished)
    tf.saved_model.save(module, unfinished, signatures=module.signatures())
    catalog.save(loaded.dataset, unfinished)
    model_card.write(unfinished, config, loaded)
    warmup.write(unfinished, model_card.image_size(config, loaded))
    if config.verify:
        _verify(unfinished, predictor, config)
    tf.io.gfile.rename(unfinished, folder)
    print(f"Wrote {folder}")
    print(f"Try it: python -m deeplab.predict --saved_model={folder} --input=IMAGE --output=FOLDER")


def _verify(folder, predictor, config):
    """Loads the export and compares it with the network that was exported, on generated images of two sizes.

    Raises:
      UserError: they disagree; the folder is removed then.
    """
    import numpy as np
    import tensorflow as tf

    from deeplab.serving import Serving

    exported = tf.saved_model.load(folder).signatures["serving_default"]
    expected = Serving(predictor, config.resize)
    rng = np.random.default_rng(0)
    equal = []
    for height, width in _VERIFY_SIZES if config.crop_size is None else [config.crop_size]:
        coarse = tf.constant(rng.uniform(0, 255, (1, 8, 8, 3)))
        image = tf.cast(tf.image.resize(coarse, (height, width)), tf.uint8)
        equal.append(np.mean(exported(images=image)["labels"] == expected.segment(image)[0]))
    print(f"Verified: {100 * np.mean(equal):.3f} % of the labels equal those of the network")
    if min(equal) < _VERIFY_LEAST:
        tf.io.gfile.rmtree(folder)
        raise UserError(
            f"{folder}: only {100 * min(equal):.2f} % of the labels equal those of the network; not exported"
        )


_VERIFY_SIZES = ((97, 129), (130, 90))  # height, width
_VERIFY_LEAST = 0.999  # pixels may differ where two classes are equal but for rounding


def next_version(export_path):
    """Returns the path of the first version number above those that exist in `export_path`, from 1."""
    import tensorflow as tf

    tf.io.gfile.makedirs(export_path)
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(export_path)]
    newest = max([int(name) for name in names if name.isdigit()], default=0)
    return f"{export_path.rstrip('/')}/{newest + 1}"


def main():
    cli.main(export, ExportConfig)


if __name__ == "__main__":
    main()
