"""What the formats for images of one size share: the function that their converters start from."""

import tensorflow as tf

from deeplab.data.channels.value_range import to_pixels
from deeplab.exporting.signatures import tf_variable
from deeplab.inference.input_size import segment
from deeplab.layers.folded import dilated_ops

INPUT, OUTPUT = "images", "labels"


class FixedSize(tf.Module):
    """A network for images of one size, which it may see at another size.

    `labels` is a tf.function: images (1, H, W, C) -> {"labels": (1, H, W) int32}. Images are uint8, or float32 where
    the data set has a range of values. `signature` is its input.

    Args:
      network: a `NetworkToExport`.
    """

    def __init__(self, network):
        super().__init__(name="deeplab")
        self._predict, self._input_size = network.predictor, network.input_size
        dataset = network.loaded.dataset
        self._values = dataset.value_range
        channels, kind = dataset.num_channels, tf.float32 if self._values else tf.uint8
        self.signature = [tf.TensorSpec((1, *network.size, channels), kind, name=INPUT)]
        self.labels = tf.function(self._labels, input_signature=self.signature, autograph=False)

    def _labels(self, images):
        images = to_pixels(images, self._values) if self._values else images
        with dilated_ops():  # the graph is for engines that are not TensorFlow
            return {OUTPUT: segment(self._predict, images, self._input_size)[0]}

    def save(self, folder):
        """Writes a SavedModel, for converters that read nothing else."""
        self.weights = [tf_variable(variable) for variable in self._predict.model.variables]  # saved with the graph
        tf.saved_model.save(self, folder, signatures={"serving_default": self.labels.get_concrete_function()})
