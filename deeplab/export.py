"""Writes a SavedModel that segments images of any size, without this project.

    python -m deeplab.export --checkpoint_dir=TRAIN_LOGDIR --export_path=DIR

makes DIR/1 (then DIR/2, ...). Signatures: `serving_default`, images (B, H, W, 3) uint8 -> labels (B, H, W) int32;
`reference`, ImageTensor -> SemanticPredictions, SemanticProbabilities, as the original's frozen graph.
"""

from deeplab import cli
from deeplab.config.inference import ExportConfig


def export(config):
    """Exports one checkpoint as `config`, an `ExportConfig`, says; prints where it is."""
    import tensorflow as tf

    from deeplab import trained
    from deeplab.data import catalog
    from deeplab.inference import Predictor
    from deeplab.serving import Serving

    # From what: the network as it was trained, for images padded to the crop size or as large as they come.
    dataset = catalog.load(None, config.dataset)
    source = config.checkpoint_path or config.checkpoint_dir
    loaded = trained.load(source, config.checkpoint, config.model, config.MODEL_DEFAULTS, dataset)
    print(f"{loaded.checkpoint}: {loaded.config.model_variant}, {loaded.config.num_classes} classes")

    # What: the same path as eval, behind signatures.
    predictor = Predictor(loaded.model, config.crop_size, config.inference_scales, config.add_flipped_images)
    module = Serving(predictor, config.resize, config.with_probabilities)

    # Go: written aside and renamed, so that a server which watches the folder never sees half of it.
    folder = next_version(config.export_path)
    unfinished = f"{config.export_path.rstrip('/')}/unfinished-{folder.rpartition('/')[2]}"
    if tf.io.gfile.exists(unfinished):
        tf.io.gfile.rmtree(unfinished)
    tf.saved_model.save(module, unfinished, signatures=module.signatures())
    catalog.save(loaded.dataset or dataset, unfinished)
    tf.io.gfile.rename(unfinished, folder)
    print(f"Wrote {folder}")
    print(f"Try it: python -m deeplab.predict --saved_model={folder} --input=IMAGE --output=FOLDER")


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
