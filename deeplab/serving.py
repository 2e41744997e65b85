"""The module that export serializes: signatures around a `Predictor`, TensorFlow ops only."""

import tensorflow as tf

from deeplab.config.data import ResizeConfig
from deeplab.data.augment import range_size
from deeplab.resize import resize_bilinear, resize_nearest

_NO_RESIZE = ResizeConfig()


class Serving(tf.Module):
    """Segments images of any size behind SavedModel signatures.

    Args:
      predictor: an `inference.Predictor`.
      resize: a `ResizeConfig`. Where it asks for resizing, results are brought back to the source size as the
        reference does: labels by nearest neighbour, probabilities bilinear.
      with_probabilities: `serving_default` returns `probabilities` too.
    """

    def __init__(self, predictor, resize=_NO_RESIZE, with_probabilities=False):
        super().__init__(name="deeplab")
        self._predict, self._resize, self._with_probabilities = predictor, resize, with_probabilities
        self.weights = [tf_variable(variable) for variable in predictor.model.variables]

    def signatures(self):
        """Returns {name: concrete function}, as `tf.saved_model.save` takes them."""
        images = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
        one = tf.TensorSpec((1, None, None, 3), tf.uint8, name="ImageTensor")
        return {
            "serving_default": self.serving_default.get_concrete_function(images),
            "reference": self.reference.get_concrete_function(one),
        }

    @tf.function
    def serving_default(self, images):
        """images (B, H, W, 3) uint8 -> labels (B, H, W) int32, on request probabilities (B, H, W, K) float32."""
        labels, probabilities = self.segment(images)
        return {"labels": labels, "probabilities": probabilities} if self._with_probabilities else {"labels": labels}

    @tf.function
    def reference(self, ImageTensor):  # the old name of the input
        """The reference's frozen graph: ImageTensor (1, H, W, 3) uint8 -> SemanticPredictions (1, H, W) int32."""
        labels, probabilities = self.segment(ImageTensor)
        return {"SemanticPredictions": labels, "SemanticProbabilities": probabilities}

    def segment(self, images):
        """Returns (labels (B, H, W) int32, probabilities (B, H, W, K)) of images (B, H, W, 3) at their own size."""
        if self._resize.min_resize_value is None:
            return self._predict(images)
        size = tf.shape(images)[1:3]
        labels, probabilities = self._predict(resize_bilinear(images, range_size(size[0], size[1], self._resize)))
        return resize_nearest(labels[..., None], size)[..., 0], resize_bilinear(probabilities, size)


def tf_variable(variable):
    """Returns the tf.Variable inside a variable of Keras 3; one of tf_keras is a tf.Variable itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value
