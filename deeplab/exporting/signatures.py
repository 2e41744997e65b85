"""The module that export serializes: signatures around a `Predictor`, TensorFlow ops only."""

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab.config.data import ResizeConfig
from deeplab.data.augment import range_size
from deeplab.layers.resize import resize_bilinear, resize_nearest

_NO_RESIZE = ResizeConfig()


class Serving(tf.Module):
    """Segments images of any size behind SavedModel signatures.

    Args:
      predictor: an `inference.Predictor`.
      resize: a `ResizeConfig`. Where it asks for resizing, results are brought back to the source size as the
        reference does: labels by nearest neighbour, probabilities bilinear.
      with_probabilities, with_logits: `serving_default` returns `probabilities`, `logits` too.
      colors: (256, 3) uint8, the colour of each label; `bytes` returns coloured PNGs, too, where it is given.
      constant: the weights are constants of the graph. oneDNN then arranges those of each convolution once and not in
        every call, and its convolutions run faster: 0.8x the time of xception_65. But Python loads such a graph with
        about 20 times the memory of the weights, TensorFlow 2.21 copying it for each function.
    """

    def __init__(
        self, predictor, resize=_NO_RESIZE, with_probabilities=False, with_logits=False, colors=None, constant=False
    ):
        super().__init__(name="deeplab")
        self._predict, self._resize = predictor, resize
        wanted = {"labels": True, "probabilities": with_probabilities, "logits": with_logits}
        self._outputs = [name for name, is_wanted in wanted.items() if is_wanted]  # of serving_default
        self._colors = None if colors is None else np.asarray(colors, np.uint8)
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        self._segment = tf.function(self.segment, input_signature=[images])  # one trace for all signatures
        if constant:
            self._segment = convert_variables_to_constants_v2(self._segment.get_concrete_function())
        else:
            self.weights = [tf_variable(variable) for variable in predictor.model.variables]

    def signatures(self):
        """Returns {name: concrete function}, as `tf.saved_model.save` takes them."""
        images = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
        one = tf.TensorSpec((1, None, None, 3), tf.uint8, name="ImageTensor")
        encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
        return {
            "serving_default": self.serving_default.get_concrete_function(images),
            "bytes": self.bytes.get_concrete_function(encoded),
            "reference": self.reference.get_concrete_function(one),
        }

    @tf.function
    def serving_default(self, images):
        """images (B, H, W, 3) uint8 -> labels (B, H, W) int32; on request probabilities, logits (B, H, W, K) float32.

        Logits are the logarithms of the probabilities, whose softmax they give again: with several passes there are
        no others, and a constant per pixel changes nothing.
        """
        labels, probabilities = self._segment(images)
        outputs = {"labels": labels, "probabilities": probabilities}
        outputs["logits"] = tf.math.log(tf.maximum(probabilities, np.finfo(np.float32).tiny))
        return {name: outputs[name] for name in self._outputs}

    @tf.function
    def bytes(self, image_bytes):
        """image_bytes (B,) JPEG or PNG files -> label_bytes (B,), PNG files of class ids; on request color_bytes.

        Each image has a size of its own, and so has its result. The names end in _bytes because TensorFlow Serving's
        REST interface writes such outputs in base64. Pixels are taken as they are stored: TensorFlow ignores EXIF.
        """
        names = ("label_bytes", "color_bytes") if self._colors is not None else ("label_bytes",)
        files = tf.map_fn(
            self._one_file, image_bytes, fn_output_signature=[tf.string for _ in names], parallel_iterations=1
        )
        return dict(zip(names, files, strict=True))

    def _one_file(self, image_bytes):
        """Returns [labels as a PNG file, the same in colours] of one image file."""
        image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
        image = tf.ensure_shape(image, (None, None, 3))
        labels = self._segment(image[None])[0][0, :, :, None]
        kind = tf.uint8 if self._predict.num_classes <= 256 else tf.uint16
        files = [tf.io.encode_png(tf.cast(labels, kind))]
        if self._colors is not None:
            files.append(tf.io.encode_png(tf.gather(tf.constant(self._colors), labels[..., 0])))
        return files

    @tf.function
    def reference(self, ImageTensor):  # the old name of the input
        """The reference's frozen graph: ImageTensor (1, H, W, 3) uint8 -> SemanticPredictions (1, H, W) int32."""
        labels, probabilities = self._segment(ImageTensor)
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
