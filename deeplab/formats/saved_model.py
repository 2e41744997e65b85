"""SavedModel: any size, any batch, encoded files; for TensorFlow Serving and programs with TensorFlow."""

import tensorflow as tf

from deeplab import warmup
from deeplab.data import catalog
from deeplab.serving import Serving


def write(folder, exported):
    """Writes saved_model.pb, which holds the weights unless batch norms were kept, and warm-up requests."""
    config, dataset = exported.config, exported.loaded.dataset
    colors = catalog.label_colormap(dataset) if config.with_colors else None
    wanted = (config.with_probabilities, config.with_logits)
    module = Serving(exported.predictor, config.resize, *wanted, colors, constant=config.fold_batch_norm)
    tf.saved_model.save(module, folder, signatures=module.signatures())
    warmup.write(folder, exported.size)


def reader(folder, exported):
    """Returns images -> labels, by the signature `serving_default`."""
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    return lambda images: signature(images=tf.constant(images))["labels"].numpy()
