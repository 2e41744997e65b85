"""SavedModel: any size, any batch, encoded files; for TensorFlow Serving and programs with TensorFlow."""

import tensorflow as tf

from deeplab.data import catalog
from deeplab.exporting import warmup
from deeplab.exporting.signatures import Serving


def write(folder, exported):
    """Writes saved_model.pb, with the weights or with variables beside it, and warm-up requests."""
    config, dataset = exported.config, exported.loaded.dataset
    colors = catalog.label_colormap(dataset) if config.with_colors else None
    wanted = (config.with_probabilities, config.with_logits)
    constant = config.fold_batch_norm and config.constant_weights
    module = Serving(exported.predictor, config.resize, *wanted, colors, constant)
    tf.saved_model.save(module, folder, signatures=module.signatures())
    warmup.write(folder, exported.size)


def reader(folder, exported):
    """Returns images -> labels, by the signature `serving_default`."""
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    return lambda images: signature(images=tf.constant(images))["labels"].numpy()
