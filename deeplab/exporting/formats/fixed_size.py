"""What formats for images of one size have in common: a tf.function images -> labels."""

import tensorflow as tf

INPUT, OUTPUT = "images", "labels"


class FixedSize(tf.Module):
    """The network for images (1, H, W, 3) uint8 of one size; `labels` is a tf.function to {"labels": (1, H, W)}."""

    def __init__(self, exported):
        super().__init__(name="deeplab")
        self._predict = exported.predictor
        self.signature = [tf.TensorSpec((1, *exported.size, 3), tf.uint8, name=INPUT)]
        self.labels = tf.function(self._labels, input_signature=self.signature, autograph=False)

    def _labels(self, images):
        return {OUTPUT: self._predict(images)[0]}

    def save(self, folder):
        """Writes a SavedModel, the source of other formats."""
        self.weights = [getattr(v, "value", v) for v in self._predict.model.variables]
        tf.saved_model.save(self, folder, signatures={"serving_default": self.labels.get_concrete_function()})
