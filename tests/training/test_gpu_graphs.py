"""Training steps and evaluations as a GPU traces them: it runs everything, keeps it there, and can be deterministic.

What is asked of each graph: every node has a kernel for GPUs; no tensor with a value for each pixel is in host memory;
no variable has a type that only the host holds; with determinism on, no operation raises; XLA lowers it for a GPU.
"""

import itertools

import pytest
import tensorflow as tf

from deeplab import UserError, devices
from deeplab.config.data import ResizeConfig
from deeplab.config.model import NAS, ModelConfig
from deeplab.config.optimization import LossConfig, OptimizerConfig
from deeplab.config.training import RunConfig
from deeplab.evaluation.metrics import ConfusionMatrix
from deeplab.evaluation.split_predictor import SplitPredictor
from deeplab.inference.predictor import Predictor
from deeplab.model.backbones import BACKBONES
from deeplab.model.network import build_model
from deeplab.model.views import scale_outputs
from deeplab.training import losses
from deeplab.training.step import TrainingStep
from helpers import gpu_graphs, short_networks
from helpers import tiny_training as tiny
from helpers.speed import slow_except

BATCH = (tf.TensorSpec((4, tiny.SIZE, tiny.SIZE, 3), tf.uint8), tf.TensorSpec((4, tiny.SIZE, tiny.SIZE), tf.uint8))
SIDE = 65
CROPS = (tf.TensorSpec((2, SIDE, SIDE, 3), tf.uint8), tf.TensorSpec((2, SIDE, SIDE), tf.uint8))
OPTIONS = {  # what makes another graph: (options of the optimizer, options of the loss)
    "plain": ({}, {}),
    "nesterov": ({"nesterov": True}, {}),
    "adam": ({"optimizer": "adam"}, {}),
    "adamw with averages": ({"optimizer": "adamw", "moving_average_decay": 0.9}, {}),
    "clipped": ({"gradient_clip_norm": 1.0, "last_layer_gradient_multiplier": 10.0}, {}),
    "parts": ({"gradient_accumulation_steps": 2}, {}),
    "frozen backbone": ({"freeze_backbone_steps": 2, "moving_average_decay": 0.9}, {}),
    "subsampled labels": ({}, {"upsample_logits": False}),
    "smoothed labels": ({}, {"label_smoothing": 0.1}),
    "focal": ({}, {"loss": "focal", "focal_gamma": 0.5}),
    "hard pixels": ({}, {"top_k_percent_pixels": 0.3}),
    "harder pixels": ({}, {"top_k_percent_pixels": 0.3, "hard_example_mining_step": 10}),
    "dice": ({}, {"region_loss": "dice"}),
    "lovasz": ({"gradient_accumulation_steps": 2}, {"region_loss": "lovasz", "loss": "focal"}),
}


@pytest.fixture(params=["none", "float16", "bfloat16"])
def precision(request):
    devices.set_precision(request.param)
    yield request.param
    devices.set_precision("none")


def tiny_step(options, precision="none", frozen=False):
    optimizer, loss = OPTIONS[options]
    settings = tiny.config(
        optimizer=OptimizerConfig(**optimizer), loss=LossConfig(**loss), run=RunConfig(mixed_precision=precision)
    )
    objective = losses.Objective(settings.loss, tiny.IGNORE, class_weights=(1.0, 2.0, 3.0))
    return TrainingStep(tiny.network(frozen=frozen), objective, settings)


def check(step, *batch):
    """Checks the graph of a step as it is traced without and with determinism, without and with XLA."""
    with gpu_graphs.tracing():
        assert gpu_graphs.faults(gpu_graphs.trace(step, *batch)) == []
    with gpu_graphs.tracing(deterministic=True):
        concrete = gpu_graphs.trace(step, *batch)
        assert gpu_graphs.faults(concrete) == []
        assert gpu_graphs.refused(concrete) == []
    with gpu_graphs.tracing(deterministic=True, compiled=True):
        assert "ENTRY" in gpu_graphs.lowered(step, *batch)


@pytest.mark.parametrize("options", slow_except(OPTIONS, "plain"))
def test_every_option_gives_a_graph_for_gpus(options):
    check(tiny_step(options), *BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("options", ["plain", "frozen backbone", "lovasz"])
def test_every_precision_gives_a_graph_for_gpus(options, precision):
    check(tiny_step(options, precision), *BATCH)


@pytest.mark.slow
def test_frozen_norms_give_a_graph_for_gpus():
    check(tiny_step("plain", frozen=True), *BATCH)


@pytest.mark.slow
@pytest.mark.parametrize("options", ["plain", "lovasz", "frozen backbone"])
@pytest.mark.parametrize("frozen", [False, True])
def test_several_devices_can_be_deterministic(options, frozen):
    strategy = tiny.two_replicas()
    with strategy.scope():
        step = tiny_step(options, frozen=frozen)
    with gpu_graphs.tracing(deterministic=True):
        concrete = gpu_graphs.trace(lambda *batch: strategy.run(step, batch), *BATCH)
    assert gpu_graphs.refused(concrete) == []


@pytest.mark.parametrize(("options", "conditionals"), [("adamw with averages", 1), ("frozen backbone", 2 + 1)])
def test_variables_share_their_conditionals(options, conditionals):
    """One for the variables that begin to change together; the frozen backbone has one for its batch norm, too."""
    step = tiny_step(options, "float16")
    concrete = tf.function(tf.autograph.experimental.do_not_convert(step)).get_concrete_function(*BATCH)
    forward = [node for node in concrete.graph.as_graph_def().node if node.op in ("If", "StatelessIf")]
    assert len([node for node in forward if "gradient" not in node.name]) == conditionals


@pytest.mark.slow
@pytest.mark.parametrize("variant", short_networks.DISTINCT)
def test_every_network_gives_a_graph_for_gpus(variant, monkeypatch):
    check(short_step(variant, monkeypatch), *CROPS)


FAMILIES = ["xception_65", "resnet_v1_18", "mobilenet_v3_large_seg", *NAS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "kind"), [*itertools.product(FAMILIES, ["float16"]), *itertools.product(FAMILIES[:1], ["bfloat16"])]
)
def test_every_family_gives_a_graph_for_gpus_in_half_precision(variant, kind, monkeypatch):
    """Kernels for float16 are kernels for bfloat16, too, as the steps of one family and of `OPTIONS` show."""
    devices.set_precision(kind)
    try:
        step = short_step(variant, monkeypatch, kind)
        with gpu_graphs.tracing():
            assert gpu_graphs.faults(gpu_graphs.trace(step, *CROPS)) == []
    finally:
        devices.set_precision("none")


def short_step(variant, monkeypatch, precision="none"):
    monkeypatch.setitem(BACKBONES, variant, short_networks.shortened(BACKBONES[variant]))
    options = {"drop_path_keep_prob": 0.5} if variant in NAS else {}
    if variant != "mobilenet_edgetpu":
        options["decoder_output_stride"] = (4,)
    stride = 8 if variant == "nas_hnasnet" else 16
    config = ModelConfig(model_variant=variant, num_classes=5, output_stride=stride, crop_size=(SIDE, SIDE), **options)
    devices.set_seed(0)
    settings = tiny.config(run=RunConfig(mixed_precision=precision))
    model = scale_outputs(build_model(config, (SIDE, SIDE, 3)))
    return TrainingStep(model, losses.Objective(settings.loss, tiny.IGNORE), settings)


PASSES = {
    "one pass": ({}, ((1.0,), False), None),
    "scales and flips, resized": ({}, ((0.5, 1.0), True), 40),
    "small labels, resized": ({"prediction_with_upsampled_logits": False}, ((1.0,), False), 40),
}


@pytest.mark.slow
@pytest.mark.parametrize("passes", PASSES)
def test_evaluations_give_graphs_for_gpus(passes):
    options, (scales, flips), smallest = PASSES[passes]
    model = build_model(ModelConfig(num_classes=5, depth_multiplier=0.25, output_stride=16, **options))
    resize = ResizeConfig(min_resize_value=smallest, max_resize_value=smallest and 2 * smallest)
    predictor = SplitPredictor(Predictor(model, None, scales, flips), None, resize, None, None, None)
    seen, source = ConfusionMatrix(5, 255), ConfusionMatrix(5, 255)

    def step(batch):
        predictions = predictor.predict(batch)
        labels, predicted, _sizes = predictor.to_source_size(batch, predictions)
        seen.update(batch["label"], predictions)
        source.update(labels, predicted)

    label, number = tf.TensorSpec((2, SIDE, SIDE), tf.int32), tf.TensorSpec((2,), tf.int32)
    batch = {"image": CROPS[0], "label": label, "source_label": label, "sizes": tf.TensorSpec((2, 2), tf.int32)}
    with gpu_graphs.tracing(deterministic=True):
        concrete = gpu_graphs.trace(step, {**batch, "height": number, "width": number})
        assert gpu_graphs.faults(concrete) == []
        assert gpu_graphs.refused(concrete) == []


def test_parts_that_a_device_cannot_make_of_its_images_are_refused():
    settings = tiny.config(optimizer=OptimizerConfig(gradient_accumulation_steps=4))
    step, (images, labels) = tiny.step(settings), tiny.batches(1, batch_size=2)[0]
    with pytest.raises(UserError, match="=4: expected a divisor of the 2 images of each device"):
        step(tf.constant(images), tf.constant(labels))
