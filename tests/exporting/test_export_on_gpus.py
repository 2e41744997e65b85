"""Exports hold only operations that a GPU has a kernel for. No GPU is needed: TensorFlow's registry tells."""

import pytest
import tensorflow as tf

import deeplab
from deeplab.config.data import ResizeConfig
from deeplab.exporting import folding
from deeplab.exporting.signatures import ExportedModule
from deeplab.inference.input_size import InputSize
from deeplab.inference.predictor import Predictor
from deeplab.layers import hardware
from deeplab.model.backbones import BACKBONES
from helpers import kernels, short_networks
from helpers.speed import slow_except

SEGMENTING = {  # further ways from images to labels: (options of the predictor, options of the module)
    "scales and flip": ({"eval_scales": (0.5, 1.0), "add_flipped_images": True}, {}),
    "padded": ({"crop_size": (65, 65)}, {}),
    "shrunk photographs": ({}, {"input_size": InputSize("97,97", None, (97, 97), 97)}),
    "resized": ({}, {"resize": ResizeConfig(min_resize_value=65, max_resize_value=97)}),
}


@pytest.fixture(scope="module", params=slow_except(short_networks.DISTINCT, "mobilenet_v2"))
def network(request):
    """A short network of every kind."""
    before = dict(BACKBONES)
    try:
        yield short_networks.build(request.param)
    finally:
        BACKBONES.update(before)


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(hardware, "is_accelerated", lambda: True)


def graphs(model, predictor=None, module=None):
    """Returns {signature: GraphDef} of an export of a model with everything that it can return."""
    passes = {"crop_size": None, "eval_scales": (1.0,), "add_flipped_images": False, **(predictor or {})}
    outputs = {"with_probabilities": True, "with_logits": True, "colors": [[0, 0, 0]] * 256}
    exported = ExportedModule(Predictor(model, **passes), **outputs, **(module or {}))
    return {name: function.graph.as_graph_def() for name, function in exported.signatures().items()}


@pytest.mark.parametrize("precision", slow_except(["as trained", *folding.PRECISIONS], "float32"))
def test_every_node_has_a_kernel(network, precision):
    model = network if precision == "as trained" else folding.fold(network, precision)
    found = {name: kernels.gpu_gaps(graph) for name, graph in graphs(model).items()}
    assert found == {"serving_default": [], "bytes": [], "reference": []}


@pytest.mark.slow
@pytest.mark.parametrize("way", SEGMENTING)
def test_every_node_has_a_kernel_on_every_way_to_labels(way, shortest_mobilenet):
    config = deeplab.ModelConfig(num_classes=3, depth_multiplier=0.25, output_stride=16)
    model = folding.fold(deeplab.build_model(config))
    found = [kernels.gpu_gaps(graph) for graph in graphs(model, *SEGMENTING[way]).values()]
    assert found == [[], [], []]


def test_a_node_without_a_kernel_is_found():
    """An op that only CPUs have, a type that only CPUs have, and the op that GPUs refuse, in a function."""

    @tf.function
    def dilated(x):
        return tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=tf.ones((3, 3, 1, 1)), strides=[1] * 4, padding="SAME", dilations=[1, 2, 2, 1]
        )

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 1))])
    def graph(x):
        shrunk = tf.raw_ops.ResizeArea(images=x, size=(4, 4))
        return dilated(x), shrunk, tf.gather(tf.cast(x, tf.uint8), (0,)), tf.nn.relu(x)

    gaps = kernels.gpu_gaps(graph.get_concrete_function().graph.as_graph_def())
    assert [gap.partition(": ")[2] for gap in gaps] == [
        "ResizeArea {'T': 'float32'}",
        "GatherV2 {'Tparams': 'uint8', 'Tindices': 'int32', 'Taxis': 'int32'}",
        "DepthwiseConv2dNative {'T': 'float32'} with dilations",
    ]


def test_large_tensors_in_host_memory_are_found():
    @tf.function(input_signature=[tf.TensorSpec((4, 100), tf.int32), tf.TensorSpec((4, 100), tf.int64)])
    def graph(host, device):
        return host + 1, device + 1, tf.reduce_sum(host), tf.shape(device)

    nodes = kernels.host_nodes(graph.get_concrete_function().graph.as_graph_def(add_shapes=True), 400)
    kinds = {node.partition(": ")[2].split()[0] for node in nodes}
    assert {"AddV2", "Sum"} <= kinds
    assert not any("int64" in node for node in nodes)
