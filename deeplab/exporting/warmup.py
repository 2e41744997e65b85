"""Writes the warm-up requests that TensorFlow Serving replays when it loads a SavedModel.

They are PredictionLog messages in a TFRecord file. The definitions of these messages come with tensorflow-serving-api,
a large package that nothing else here needs, so the few fields around a TensorProto are encoded by hand.
"""

import tensorflow as tf

FILE = "assets.extra/tf_serving_warmup_requests"
# Numbers of fields in the messages, from tensorflow_serving/apis/*.proto.
_PREDICT_LOG, _REQUEST = 6, 1  # in PredictionLog, in PredictLog
_MODEL_SPEC, _INPUTS = 1, 2  # in PredictRequest
_NAME, _SIGNATURE_NAME = 1, 3  # in ModelSpec
_KEY, _VALUE = 1, 2  # in an entry of a map
_LENGTH_DELIMITED = 2  # wire type of strings, bytes and messages


def write(folder, size, images, takes_files=True, model_name="deeplab"):
    """Writes one request for `serving_default`, and one for `bytes` where there is that one, into a SavedModel folder.

    Args:
      folder: the folder.
      size: (height, width) of the grey image in the requests.
      images: the tf.TensorSpec (1, None, None, C) of the images that `serving_default` takes.
      takes_files: whether there is a signature `bytes`.
      model_name: name of the model in the requests, which TensorFlow Serving ignores.
    """
    grey = tf.make_tensor_proto(
        128, images.dtype, (1, *size, images.shape[-1])
    )  # stored as one number that stands for all
    jpeg = tf.io.encode_jpeg(tf.fill((*size, 3), tf.constant(128, tf.uint8))).numpy()
    requests = {"serving_default": ("images", grey)}
    if takes_files:
        requests["bytes"] = ("image_bytes", tf.make_tensor_proto([jpeg], tf.string))
    path = f"{folder}/{FILE}"
    tf.io.gfile.makedirs(path.rpartition("/")[0])
    with tf.io.TFRecordWriter(path) as writer:
        for signature, (name, tensor) in requests.items():
            writer.write(_prediction_log(model_name, signature, name, tensor.SerializeToString()))


def _prediction_log(model_name, signature, name, tensor):
    """Returns the bytes of a PredictionLog with one request, which has one input."""
    spec = _field(_NAME, model_name.encode()) + _field(_SIGNATURE_NAME, signature.encode())
    inputs = _field(_KEY, name.encode()) + _field(_VALUE, tensor)
    request = _field(_MODEL_SPEC, spec) + _field(_INPUTS, inputs)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number, content):
    """Returns a length-delimited field of a protocol buffer."""
    return bytes([number << 3 | _LENGTH_DELIMITED]) + _varint(len(content)) + content


def _varint(value):
    """Returns an unsigned number as a protocol buffer writes it: 7 bits in each byte, lowest first."""
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
