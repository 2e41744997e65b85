"""SavedModel, for TensorFlow Serving and programs that use TensorFlow: images of any size, batches, encoded files."""

import tensorflow as tf

from deeplab.data import catalog
from deeplab.exporting import warmup
from deeplab.exporting.signatures import ExportedModule
from deeplab.inference import batches, exports


def require(_config):
    """Needs no package beside TensorFlow."""


def write(folder, network):
    """Writes saved_model.pb, which holds the weights unless they are variables beside it, and warm-up requests."""
    written = module(network)
    # The functions of a root are stored beside those of the signatures, and TensorFlow's loader copies constants into
    # each function that calls them. Only variables need the module as the root.
    root = tf.Module() if _has_constant_weights(network.config) else written
    signatures = written.signatures()
    tf.saved_model.save(root, folder, signatures=signatures)
    warmup.write(folder, network.size, _images(network.loaded.dataset), "bytes" in signatures)
    if not written.takes_files:
        print(
            "No signature bytes: TensorFlow decodes no files with the bands of this data set; send arrays", flush=True
        )


def module(network):
    """Returns the `ExportedModule` that is saved for a `NetworkToExport`."""
    config, dataset = network.config, network.loaded.dataset
    colors = catalog.label_colormap(dataset) if config.with_colors else None
    wanted = (config.with_probabilities, config.with_logits)
    constant = _has_constant_weights(config)
    return ExportedModule(network.predictor, config.resize, *wanted, colors, constant, network.input_size, dataset)


def _images(dataset):
    """Returns the tf.TensorSpec of one image of any size, as `serving_default` takes it."""
    return batches.image_spec(dataset.num_channels, 1, dataset.value_range)


def _has_constant_weights(config):
    return config.fold_batch_norm and config.constant_weights


def reader(folder):
    """Returns a function images -> labels that runs the signature serving_default in TensorFlow."""
    export = exports.load(folder, required=(exports.DEFAULT_SIGNATURE,))
    return lambda images: export.run(exports.DEFAULT_SIGNATURE, {"images": images})["labels"]
