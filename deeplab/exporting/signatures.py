"""The module that export saves: signatures around a `Predictor`, made of TensorFlow ops only."""

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from deeplab.config.data import ResizeConfig
from deeplab.data.augment import range_size
from deeplab.data.channels.facts import Channels
from deeplab.data.channels.value_range import to_pixels
from deeplab.exporting import files_in_graph
from deeplab.inference import input_size
from deeplab.inference.exports import DEFAULT_SIGNATURE, REFERENCE_LABELS, REFERENCE_PROBABILITIES, REFERENCE_SIGNATURE
from deeplab.layers.resize import resize_bilinear, resize_labels

_NO_RESIZE, _ORIGINAL, _RGB = ResizeConfig(), input_size.InputSize(), Channels()


class ExportedModule(tf.Module):
    """Segments images of any size behind the signatures of a SavedModel.

    A tf.function holds its module by a weak reference, so that this object must live as long as its functions run.

    Args:
      predictor: an `inference.Predictor`.
      resize: a `ResizeConfig`. If it asks for resizing, results are brought back to the size of the image as the
        reference does it: labels by nearest neighbour, probabilities bilinearly.
      with_probabilities, with_logits: `serving_default` returns `probabilities`, `logits` as well.
      colors: (256, 3) uint8, the colour of each label; if given, `bytes` returns coloured PNG files as well.
      constant: makes the weights constants of the graph. oneDNN then arranges the weights of each convolution once
        instead of in every call: xception_65 takes 0.8 times as long. On the other hand, TensorFlow copies the weights
        when it loads and prepares such a graph, about ten times, and `tf.saved_model.load` copies them for each
        function besides. This project's programs avoid that for large networks, see `inference.shared_weights`.
      input_size: an `InputSize`, which says which images the network sees at another size. It has no effect if `resize`
        asks for resizing.
      channels: the `Channels` of the data set, usually a `catalog.Dataset`, whose `source_ids` are in the PNG files of
        `bytes`; without them, class ids do. Where it has a range of values, images are float32 and have the values of
        files. There is no signature `bytes` where TensorFlow cannot decode such files.
    """

    def __init__(
        self,
        predictor,
        resize=_NO_RESIZE,
        with_probabilities=False,
        with_logits=False,
        colors=None,
        constant=False,
        input_size=_ORIGINAL,
        channels=_RGB,
    ):
        super().__init__(name="deeplab")
        self._predict, self._resize, self._input_size, self._channels = predictor, resize, input_size, channels
        self._kind = tf.float32 if channels.value_range else tf.uint8
        wanted = {"labels": True, "probabilities": with_probabilities, "logits": with_logits}
        self._outputs = [name for name, is_wanted in wanted.items() if is_wanted]  # of serving_default
        self._colors = None if colors is None else np.asarray(colors, np.uint8)
        ids = getattr(channels, "source_ids", ())
        self._ids = np.asarray(ids, np.int32) if ids else None
        images = self._spec(None, None)
        self._segment = tf.function(self.segment, input_signature=[images])  # one trace for all signatures
        if constant:
            segment = self._segment.get_concrete_function()
            self._segment = convert_variables_to_constants_v2(segment, lower_control_flow=False)
        else:
            self.weights = [tf_variable(variable) for variable in predictor.model.variables]

    def _spec(self, count, name):
        return tf.TensorSpec((count, None, None, self._channels.num_channels), self._kind, name=name)

    def signatures(self):
        """Returns {name: concrete function}, as `tf.saved_model.save` takes them."""
        encoded = tf.TensorSpec((None,), tf.string, name="image_bytes")
        of_files = {"bytes": self.bytes.get_concrete_function(encoded)} if self.takes_files else {}
        return {
            DEFAULT_SIGNATURE: self.serving_default.get_concrete_function(self._spec(None, "images")),
            **of_files,
            REFERENCE_SIGNATURE: self.reference.get_concrete_function(self._spec(1, "ImageTensor")),
        }

    @property
    def takes_files(self):
        """Tells whether there is a signature `bytes`."""
        return files_in_graph.can_decode(self._channels)

    @tf.function
    def serving_default(self, images):
        """images (B, H, W, C) -> labels (B, H, W) int32; on request probabilities, logits (B, H, W, K) float32.

        Logits are the logarithms of the probabilities, so that their softmax gives the probabilities again. The
        network's own logits differ from them by a constant per pixel, and with several passes there is no single
        set of them.
        """
        labels, probabilities = self._segment(images)
        outputs = {"labels": labels, "probabilities": probabilities}
        outputs["logits"] = tf.math.log(tf.maximum(probabilities, np.finfo(np.float32).tiny))
        return {name: outputs[name] for name in self._outputs}

    @tf.function
    def bytes(self, image_bytes):
        """image_bytes (B,) JPEG or PNG files -> label_bytes (B,), PNG files of ids; on request color_bytes.

        Ids are class ids, or those of the label files that the network learned from, see `pictures.mask_ids`.
        Images may have different sizes; each result has the size of its image. The names end in _bytes because
        TensorFlow Serving's REST interface writes such outputs in base64. Pixels are taken as they are stored, since
        TensorFlow ignores EXIF. Transparent pixels are laid on white, as by the other programs.
        """
        names = ("label_bytes", "color_bytes") if self._colors is not None else ("label_bytes",)
        files = tf.map_fn(
            self._one_file, image_bytes, fn_output_signature=[tf.string for _ in names], parallel_iterations=1
        )
        return dict(zip(names, files, strict=True))

    def _one_file(self, image_bytes):
        """Returns a list for one image file: the PNG file of its labels, then, if wanted, the PNG file in colours."""
        image = files_in_graph.decode(image_bytes, self._channels)
        labels = self._segment(image[None])[0][0, :, :, None]
        most = self._predict.num_classes - 1 if self._ids is None else self._ids.max()
        with tf.device("CPU:0"):  # the bytes are for the host; GPUs can neither gather uint8 nor write PNG
            ids = labels if self._ids is None else tf.gather(tf.constant(self._ids), labels)
            files = [tf.io.encode_png(tf.cast(ids, tf.uint8 if most <= 255 else tf.uint16))]
            if self._colors is not None:
                files.append(tf.io.encode_png(tf.gather(tf.constant(self._colors), labels[..., 0])))
        return files

    @tf.function
    def reference(self, ImageTensor):  # REFERENCE_INPUT: a signature names its inputs after the arguments
        """The reference's frozen graph: ImageTensor (1, H, W, C) -> SemanticPredictions (1, H, W) int32."""
        labels, probabilities = self._segment(ImageTensor)
        return {REFERENCE_LABELS: labels, REFERENCE_PROBABILITIES: probabilities}

    def segment(self, images):
        """Returns labels (B, H, W) int32 and probabilities (B, H, W, K) float32 of images (B, H, W, C)."""
        if self._channels.value_range:
            images = to_pixels(images, self._channels.value_range)
        if self._resize.min_resize_value is None:
            return input_size.segment(self._predict, images, self._input_size)
        size = tf.shape(images)[1:3]
        images = tf.cast(images, tf.float32)  # GPUs can't resize uint8
        labels, probabilities = self._predict(resize_bilinear(images, range_size(size[0], size[1], self._resize)))
        return resize_labels(labels, size), resize_bilinear(probabilities, size)


def tf_variable(variable):
    """Returns the tf.Variable inside a variable of Keras 3. A variable of tf_keras is a tf.Variable itself."""
    return variable if isinstance(variable, tf.Variable) else variable.value
