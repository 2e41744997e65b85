"""A small network of the original's building blocks as a TensorFlow 1 graph, for tests that need its files."""

import numpy as np
import tensorflow as tf

from deeplab.config.model import ModelConfig
from deeplab.model.blocks import Blocks, Parts, Style

v1 = tf.compat.v1
EPSILON = 1e-3
SIZE = 33  # of the (square) input, which is (1, SIZE, SIZE, 3)


QUANTIZED = {  # file: how far its output may be off, as a part of the largest output
    "float16.tflite": 2e-3,
    "int8.tflite": 0.05,
}


class Original:
    """Collects the variables of a graph; the layers name variables and operations as the original's do."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.values = {}

    def variable(self, name, shape):
        leaf = name.rsplit("/", 1)[1]
        low, high = (0.5, 2) if leaf in ("gamma", "moving_variance") else (-0.5, 0.5)
        self.values[name] = self.rng.uniform(low, high, shape).astype(np.float32)
        return v1.get_variable(name, initializer=self.values[name])

    def norm(self, x, scope):
        leaves = ("gamma", "beta", "moving_mean", "moving_variance")
        variables = [self.variable(f"{scope}/BatchNorm/{leaf}", x.shape[-1:]) for leaf in leaves]
        name = f"{scope}/BatchNorm/FusedBatchNormV3"
        return v1.nn.fused_batch_norm(x, *variables, epsilon=EPSILON, is_training=False, name=name)[0]

    def conv(self, x, scope, filters, kernel_size=1, stride=1, norm=True, activation=True):
        kernel = self.variable(f"{scope}/weights", (kernel_size, kernel_size, x.shape[-1], filters))
        x = v1.nn.conv2d(x, kernel, strides=stride, padding="SAME", name=f"{scope}/Conv2D")
        x = self.norm(x, scope) if norm else v1.nn.bias_add(x, self.variable(f"{scope}/biases", (filters,)))
        return v1.nn.relu6(x, name=f"{scope}/Relu6") if activation else x

    def depthwise(self, x, scope, rate):
        kernel = self.variable(f"{scope}/depthwise_weights", (3, 3, x.shape[-1], 1))
        x = v1.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME", rate=[rate, rate], name=f"{scope}/depthwise")
        return v1.nn.relu6(self.norm(x, scope), name=f"{scope}/Relu6")


def build(layers, images):
    """The network, on `Original` or on our own `Blocks`-like layers."""
    x = layers.conv(images, "MobilenetV2/Conv", 8, 3, stride=2)
    x = layers.depthwise(x, "MobilenetV2/expanded_conv/depthwise", rate=2)
    x = layers.conv(x, "MobilenetV2/expanded_conv/project", 12, activation=False)
    x = layers.conv(x, "aspp0", 16)
    return layers.conv(x, "logits/semantic", 5, norm=False, activation=False)


class Ours:
    """The same layers of ours."""

    def __init__(self):
        self.blocks = Blocks(Parts(ModelConfig()), Style(EPSILON, 0.99, activation="relu6"))

    def conv(self, x, scope, filters, kernel_size=1, activation=True, **how):
        return self.blocks.conv(x, scope, filters, kernel_size, activation="relu6" if activation else None, **how)

    def depthwise(self, x, scope, rate):
        return self.blocks.depthwise(x, scope, rate=rate)


def our_model():
    images = tf.keras.Input((SIZE, SIZE, 3))
    return tf.keras.Model(images, build(Ours(), images))


def write_files(folder):
    """Writes graph.pb, graph.tflite and files of fewer bits (`QUANTIZED`) into `folder`.

    Returns (images, the original's output, {name: array}).
    """
    images = np.random.default_rng(1).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    original = Original()
    with tf.Graph().as_default(), v1.Session() as session:
        fed = v1.placeholder(tf.float32, images.shape, name="images")
        output = build(original, fed)
        session.run(v1.global_variables_initializer())
        graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, [output.op.name])
        (folder / "graph.pb").write_bytes(graph.SerializeToString())
        converter = v1.lite.TFLiteConverter.from_session(session, [fed], [output])
        (folder / "graph.tflite").write_bytes(converter.convert())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        (folder / "float16.tflite").write_bytes(converter.convert())
        converter.target_spec.supported_types = []
        converter.representative_dataset = lambda: [[images]]
        (folder / "int8.tflite").write_bytes(converter.convert())
        return images, session.run(output, {fed: images}), original.values
