"""The whole training step compiles under XLA with static shapes, as TPUs demand: networks, options, replicas."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.distribute import collective_util, cross_device_ops, mirrored_run, mirrored_strategy
from tensorflow.python.eager.polymorphic_function import compiler_ir
from tensorflow.python.framework import config as framework_config

from deeplab import devices
from deeplab.config.model import ModelConfig
from deeplab.config.optimization import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab.config.training import RunConfig
from deeplab.model.backbones import BACKBONES
from deeplab.model.network import build_model
from deeplab.model.views import scale_outputs
from deeplab.training import losses, state
from deeplab.training.step import TrainingStep
from helpers import short_networks
from helpers import tiny_training as tiny

SIDE = 33


@pytest.mark.slow
def test_the_step_compiles_with_the_same_loss(monkeypatch):
    """With every kind of block once; scripts/gpu_check.sh, which a test runs, compiles a whole mobilenet_v2."""
    monkeypatch.setitem(BACKBONES, "xception_65", short_networks.shortened(BACKBONES["xception_65"]))
    devices.set_seed(0)
    config = ModelConfig(
        model_variant="xception_65", num_classes=5, output_stride=16, decoder_output_stride=(4,), crop_size=(SIDE, SIDE)
    )
    model = build_model(config, (SIDE, SIDE, 3))
    for layer in model.layers:
        if "dropout" in layer.name:
            layer.rate = 0.0  # XLA draws other random numbers
    settings = tiny.config()
    step = TrainingStep(scale_outputs(model), losses.Objective(settings.loss, tiny.IGNORE), settings)
    rng = np.random.default_rng(0)
    images = tf.constant(rng.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8))
    labels = tf.constant(rng.integers(0, 5, (2, SIDE, SIDE)).astype(np.uint8))
    plain = tf.autograph.experimental.do_not_convert(step)
    _, expected = step.gradients(images, labels)
    found = tf.function(plain, jit_compile=True)(images, labels)
    assert float(found["merged_logits"]) == pytest.approx(float(expected["merged_logits"]), rel=1e-4)
    assert np.isfinite(float(found["gradient_norm"]))


OPTIONS = {  # each makes another graph of the step; options that do not meet in it share a row
    "accumulated, hard pixels": {
        "loss": LossConfig(top_k_percent_pixels=0.3, hard_example_mining_step=100),
        "optimizer": OptimizerConfig(gradient_accumulation_steps=2, gradient_clip_norm=1.0),
    },
    "adam, focal, lovasz": {
        "loss": LossConfig(loss="focal", label_smoothing=0.1, region_loss="lovasz"),
        "optimizer": OptimizerConfig(optimizer="adam", adam_learning_rate=0.01),
    },
    "frozen, dice, subsampled labels": {
        "loss": LossConfig(region_loss="dice", upsample_logits=False),
        "optimizer": OptimizerConfig(freeze_backbone_steps=1, optimizer="adamw", moving_average_decay=0.9),
    },
    "float16": {"run": RunConfig(mixed_precision="float16")},
    "bfloat16": {"run": RunConfig(mixed_precision="bfloat16")},
    "deterministic": {"run": RunConfig(deterministic=True)},
}
SCHEDULE = ScheduleConfig(base_learning_rate=0.05, training_number_of_steps=20)
STEPS = 3
ROUNDED = {"float16": 1e-2, "bfloat16": 5e-2}  # relative error of losses that are rounded in other places


@pytest.fixture
def settings(request):
    """Returns the TrainConfig of a row of OPTIONS, and sets what a process is set to for it."""
    made = tiny.config(schedule=SCHEDULE, **OPTIONS[request.param])
    devices.set_precision(made.run.mixed_precision)
    devices.set_seed(0, made.run.deterministic)
    yield made
    devices.set_precision("none")
    framework_config.disable_op_determinism()


@pytest.mark.slow
@pytest.mark.parametrize("settings", OPTIONS, indirect=True)
def test_a_training_with_xla_goes_as_one_without(settings):
    one_device = devices.training_strategy(RunConfig(distribution_strategy="one_device"))
    plain = tiny.runner(one_device, settings, STEPS, dropout=0.0)  # XLA draws other random numbers
    compiled = tiny.runner(one_device, settings, STEPS, dropout=0.0).like(jit_compile=True)
    tolerance = ROUNDED.get(settings.run.mixed_precision, 1e-3)
    for _ in range(STEPS):
        assert compiled.run(1)["loss"] == pytest.approx(plain.run(1)["loss"], rel=tolerance)


def test_layers_hear_that_xla_compiles_them():
    one_device = devices.training_strategy(RunConfig(distribution_strategy="one_device"))
    runner = tiny.runner(one_device, tiny.config(), 1)
    plain, compiled = (traced(one, one_device) for one in (runner, runner.like(jit_compile=True)))
    assert "ResizeBilinear" in plain
    assert "ResizeBilinear" not in compiled  # products in its place


def traced(runner, strategy):
    """Returns the types of the operations of a runner's step."""
    # The iterator is made here: a runner makes its own when it runs.
    graph = runner._run.get_concrete_function(iter(runner._batches), tf.constant(1)).graph
    functions = graph.as_graph_def(add_shapes=False).library.function
    return {node.op for function in functions for node in function.node_def}


def on_gpus(monkeypatch, strategy):
    """Lets TensorFlow take the logical CPUs of a MirroredStrategy for GPUs when it traces a step for XLA."""
    for module in (mirrored_run, mirrored_strategy):
        monkeypatch.setattr(module, "_is_gpu_device", lambda device: True)
    nccl = collective_util.Options(implementation=collective_util.CommunicationImplementation.AUTO)
    devices = strategy.extended.worker_devices
    # With keys of its own: what is traced here and never runs on every replica must not take keys of what runs.
    collectives = cross_device_ops.CollectiveAllReduce(devices, len(devices), nccl)
    monkeypatch.setattr(strategy.extended, "_collective_ops", collectives)


REPLICATED = {"loss": LossConfig(top_k_percent_pixels=0.5, region_loss="dice"),
              "optimizer": OptimizerConfig(freeze_backbone_steps=1, moving_average_decay=0.9)}  # fmt: skip


@pytest.mark.slow
def test_on_gpus_each_replica_is_compiled_and_meets_the_others_in_collectives(monkeypatch):
    strategy = tiny.two_replicas()
    runner = tiny.runner(strategy, tiny.config(schedule=SCHEDULE, **REPLICATED), 1).like(jit_compile=True)
    on_gpus(monkeypatch, strategy)
    runner._run.get_concrete_function(iter(runner._batches), tf.constant(1))  # a CPU can trace, not run it
    replicas = runner._traced_step._list_all_concrete_functions()
    assert len(replicas) == 2
    for index, replica in enumerate(replicas):
        operations = replica.graph.get_operations()
        assert "CollectiveReduceV2" in {operation.type for operation in operations}
        assert {operation.device[-5:] for operation in operations if operation.device} == {f"CPU:{index}"}
    assert "all-reduce(" in compiler_ir.from_concrete_function(replicas[0])(stage="hlo", platform_name="CPU")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["none", "float16"])
def test_replicas_that_meet_in_collectives_train_as_replicas_of_one_graph(kind, monkeypatch):
    """The step that XLA compiles on several GPUs. Here it runs without XLA, which has no collectives for CPUs."""
    strategy = tiny.two_replicas()
    settings = tiny.config(schedule=SCHEDULE, run=RunConfig(mixed_precision=kind), **REPLICATED)
    devices.set_precision(kind)
    together, alone = (tiny.runner(strategy, settings, STEPS) for _ in range(2))
    devices.set_precision("none")
    function = tf.function(alone._traced_step, autograph=False)
    alone._traced_step = tf.autograph.experimental.do_not_convert(lambda *batch: function(*batch))
    with monkeypatch.context() as patch:
        patch.setattr(strategy.extended, "_use_merge_call", lambda: False)
        for _ in range(STEPS):
            alone.run(1)  # in a loop inside of the graph, collectives on CPUs mix up the steps and wait for ever
    together.run(STEPS)
    tiny.check_same(tiny.weights(together.step), tiny.weights(alone.step))
    for name, variable in state.variables(alone.step).items():
        raw = variable if isinstance(variable, tf.Variable) else variable.value
        first, second = (copy.numpy() for copy in strategy.experimental_local_results(raw))
        np.testing.assert_array_equal(first, second, err_msg=name)
