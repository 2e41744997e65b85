"""The step: rules by name, optimizers, the same weights whatever the number of replicas or parts of a batch."""

import ctypes
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from deeplab import devices
from deeplab.config.model import ModelConfig
from deeplab.config.optimization import LossConfig, OptimizerConfig, ScheduleConfig
from deeplab.config.training import RunConfig
from deeplab.model.network import build_model
from deeplab.model.views import scale_outputs
from deeplab.training import feeding, losses
from deeplab.training.optimizers import Optimizer
from deeplab.training.step import TrainingStep, gradient_multiplier, is_last_layer, is_regularized
from helpers import tiny_training as tiny

SCHEDULE = ScheduleConfig(base_learning_rate=0.1, training_number_of_steps=20)


@pytest.mark.parametrize(
    ("name", "regularized", "multiplier"),
    [
        ("MobilenetV2/Conv/weights", True, 1),
        ("MobilenetV2/Conv/BatchNorm/gamma", False, 1),
        ("xception_65/entry_flow/block1/unit_1/separable_conv1_depthwise/depthwise_weights", False, 1),
        ("pnasnet/cell_0/comb_iter_0/left/separable_5x5_1/depthwise_weights", True, 1),
        ("pnasnet/cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights", True, 1),
        ("MobilenetV3/expanded_conv_3/squeeze_excite/Conv/biases", False, 2),
        ("aspp1_pointwise/weights", True, 10),
        ("decoder/decoder_conv0_depthwise/depthwise_weights", False, 10),
        ("logits/semantic/biases", False, 20),
    ],
)
def test_rules_by_name(name, regularized, multiplier):
    config = tiny.config(optimizer=OptimizerConfig(last_layer_gradient_multiplier=10.0))
    assert is_regularized(name) == regularized
    assert gradient_multiplier(name, config) == multiplier
    assert not is_last_layer("aspp1/weights", logits_only=True)


def test_a_network_of_unknown_names_is_refused():
    images = tf.keras.Input((17, 17, 3))
    model = tf.keras.Model(images, {"merged_logits": tf.keras.layers.Conv2D(3, 1)(images)})
    with pytest.raises(ValueError, match="no variable has a name"):
        TrainingStep(model, None, tiny.config())


def trained(settings, count=4, batch_size=4, **options):
    step = tiny.step(settings, **options)
    results = tiny.train(step, count, batch_size)
    return tiny.weights(step), results


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"loss": LossConfig(top_k_percent_pixels=0.3), "optimizer": OptimizerConfig(moving_average_decay=0.9)}],
    ids=["plain", "mining"],
)
def test_two_replicas_end_with_the_weights_of_one(options):
    settings = tiny.config(schedule=SCHEDULE, **options)
    one, _ = trained(settings, count=20)
    two = tiny.runner(tiny.two_replicas(), settings, count=20)
    two.run(20)
    tiny.check_same(one, tiny.weights(two.step))


def summing_operations(runner):
    """Returns the kinds of operations that sum over replicas in the graph of a `StepRunner`, NCCL's among them."""
    graph = runner._run.get_concrete_function(iter(runner._batches), tf.constant(1)).graph.as_graph_def()
    nodes = [node for function in graph.library.function for node in function.node_def]
    return {node.op for node in [*graph.node, *nodes] if node.op.startswith(("Collective", "Nccl"))}


@pytest.mark.slow
def test_replicas_on_one_card_need_no_nccl_and_end_with_the_weights_of_one():
    settings = tiny.config(schedule=SCHEDULE)
    one, _ = trained(settings, count=20)
    names = tuple(devices._devices())
    shared = tf.distribute.MirroredStrategy(names, tf.distribute.ReductionToOneDevice())  # as of logical GPUs
    for strategy, count in ((devices._mirrored(names[:1]), 1), (shared, 2)):
        assert strategy.num_replicas_in_sync == count
        several = tiny.runner(strategy, settings, count=20)
        several.run(20)
        tiny.check_same(one, tiny.weights(several.step))
        assert not summing_operations(several)
    if not tf.config.list_logical_devices("GPU"):
        assert summing_operations(tiny.runner(tiny.two_replicas(), settings, count=1))  # would be found


def test_parts_of_a_batch_add_up_to_it():
    settings = [
        tiny.config(schedule=SCHEDULE, optimizer=OptimizerConfig(gradient_accumulation_steps=n)) for n in (1, 2)
    ]
    (whole, results), (parts, same) = (trained(one, frozen=True, dropout=0.0) for one in settings)
    assert results == pytest.approx(same, rel=1e-4)
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def one_update(gradient_steps, **options):
    """Returns the weight after updates with the given gradients, starting from 1, at learning rate 0.1."""
    variable = tf.Variable([1.0])
    optimizer = Optimizer(OptimizerConfig(**options), {"weights": variable}, decays=["weights"])
    for i, gradient in enumerate(gradient_steps):
        optimizer.apply({"weights": tf.constant([gradient])}, tf.constant(0.1), tf.constant(i, tf.int64))
    return variable.numpy()[0], {name: slot.numpy()[0] for name, slot in optimizer.state().items()}


def test_momentum_is_tensorflow_1s():
    weight, slots = one_update([1.0, 2.0], momentum=0.9)
    assert slots == {"weights/Momentum": pytest.approx(2.9)}
    assert weight == pytest.approx(1 - 0.1 * 1.0 - 0.1 * 2.9)
    assert one_update([1.0], momentum=0.9, nesterov=True)[0] == pytest.approx(1 - 0.1 * 1.9)


def test_adam_equals_tensorflow_1s():
    gradients = [1.0, -2.0, 0.5]
    weight, slots = one_update(gradients, optimizer="adam")
    variable = tf.Variable([1.0])
    original = tf.compat.v1.train.AdamOptimizer(0.1, epsilon=1e-8)
    for gradient in gradients:
        original.apply_gradients([(tf.constant([gradient]), variable)])
    assert weight == pytest.approx(variable.numpy()[0], rel=1e-5)
    assert slots["weights/Adam"] == pytest.approx(original.get_slot(variable, "m").numpy()[0])
    assert slots["weights/Adam_1"] == pytest.approx(original.get_slot(variable, "v").numpy()[0])


def test_adamw_takes_decay_off_the_weight_itself():
    plain, _ = one_update([1.0], optimizer="adam")
    decayed, _ = one_update([1.0], optimizer="adamw", weight_decay=0.5)
    assert decayed == pytest.approx(plain - 0.1 * 0.5 * 1.0)
    settings = tiny.config(optimizer=OptimizerConfig(optimizer="adamw", weight_decay=0.5))
    assert trained(settings, count=1)[1]["regularization"] == 0


def test_moving_averages_follow_as_tensorflow_1s():
    weight, slots = one_update([1.0], moving_average_decay=0.9, momentum=0.0)
    assert slots["weights/ExponentialMovingAverage"] == pytest.approx(0.1 * 1.0 + 0.9 * weight)  # decay 1/10 at first


def test_gradients_are_clipped_to_the_norm():
    settings = tiny.config(schedule=SCHEDULE, optimizer=OptimizerConfig(gradient_clip_norm=1e-3, momentum=0.0))
    before = tiny.weights(tiny.step(settings))
    after, results = trained(settings, count=1)
    moved = [np.sum((after[name] - before[name]) ** 2) for name in ("net/conv/weights", "logits/semantic/weights",
             "logits/semantic/biases", "net/conv/BatchNorm/gamma", "net/conv/BatchNorm/beta")]  # fmt: skip
    assert results["gradient_norm"] > 1e-3
    assert np.sqrt(sum(moved)) == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_a_frozen_backbone_does_not_move():
    settings = tiny.config(schedule=SCHEDULE, optimizer=OptimizerConfig(freeze_backbone_steps=2))
    before = tiny.weights(tiny.step(settings))
    early, _ = trained(settings, count=2)
    late, _ = trained(settings, count=3)
    np.testing.assert_array_equal(early["net/conv/weights"], before["net/conv/weights"])
    assert np.abs(early["logits/semantic/weights"] - before["logits/semantic/weights"]).max() > 0
    assert np.abs(late["net/conv/weights"] - before["net/conv/weights"]).max() > 0


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_an_overflow_changes_nothing(kind):
    settings = tiny.config(schedule=SCHEDULE, run=RunConfig(mixed_precision=kind))
    devices.set_precision(kind)
    try:
        step = tiny.step(settings)
        results = tiny.train(step, count=3)
        reference = trained(tiny.config(schedule=SCHEDULE), count=3)[1]
        assert results["loss"] == pytest.approx(reference["loss"], rel=0.05)
        if kind == "float16":
            step.loss_scale.factor.assign(float("inf"))
            before = tiny.weights(step)
            tiny.train(step, count=1)
            np.testing.assert_array_equal(tiny.weights(step)["net/conv/weights"], before["net/conv/weights"])
    finally:
        devices.set_precision("none")


@pytest.mark.slow
def test_the_step_compiles_under_xla():
    settings = tiny.config(schedule=SCHEDULE, loss=LossConfig(top_k_percent_pixels=0.3, hard_example_mining_step=100))
    _, plain = trained(settings, count=1, dropout=0.0)  # XLA draws other random numbers
    step = tiny.step(settings, dropout=0.0)
    compiled = tf.function(tf.autograph.experimental.do_not_convert(step), jit_compile=True)
    results = compiled(*map(tf.constant, tiny.batches(1)[0]))
    assert float(results["loss"]) == pytest.approx(plain["loss"], rel=1e-4)


@pytest.mark.slow
def test_every_scale_of_an_image_pyramid_has_its_loss():
    config = ModelConfig(
        num_classes=tiny.CLASSES, depth_multiplier=0.25, output_stride=16, image_pyramid=(0.5, 1.0), crop_size=(33, 33)
    )
    model = scale_outputs(build_model(config, (33, 33, 3)))
    settings = tiny.config(schedule=SCHEDULE)
    step = TrainingStep(model, losses.Objective(settings.loss, tiny.IGNORE), settings)
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 33, 3)).astype(np.uint8)
    results = step(tf.constant(images), tf.constant(images[..., 0] % tiny.CLASSES))
    assert set(results) == set(step.result_names)
    parts = [results[name] for name in ("merged_logits", "logits_0.50", "logits_1.00", "regularization")]
    assert float(results["loss"]) == pytest.approx(float(sum(parts)), rel=1e-6)


def test_averages_take_the_place_of_the_weights_for_a_while():
    step = tiny.step(tiny.config(schedule=SCHEDULE, optimizer=OptimizerConfig(moving_average_decay=0.9)))
    tiny.train(step)
    before = tiny.weights(step)
    with step.optimizer.averaged():
        during = tiny.weights(step)
    assert not np.array_equal(before["net/conv/weights"], during["net/conv/weights"])
    np.testing.assert_array_equal(during["net/conv/weights"], before["net/conv/weights/ExponentialMovingAverage"])
    np.testing.assert_array_equal(tiny.weights(step)["net/conv/weights"], before["net/conv/weights"])


class Mallinfo(ctypes.Structure):
    """mallinfo2 of glibc."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


def test_training_uses_freed_memory_again():
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("the C library is not glibc 2.33 or newer, whose allocator this is about")
    libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Mallinfo, ctypes.c_void_p, [ctypes.c_void_p]

    def mapped():
        before = libc.mallinfo2().hblks
        blocks = [libc.malloc(16 << 20) for _ in range(64)]  # more than the heap may have left; none is written to
        after = libc.mallinfo2().hblks
        for block in blocks:
            libc.free(block)
        return after - before

    libc.mallopt(-3, 128 << 10)  # as TensorFlow does
    assert mapped() > 0
    strategy = tf.distribute.get_strategy()
    batches = tf.data.Dataset.from_tensors((tf.zeros((2, 3, 3, 3)), tf.zeros((2, 3, 3)))).repeat()
    stream = feeding.distribute(strategy, lambda *_: batches, 0, 2)
    iterator = iter(stream)
    devices.keep_freed_memory()
    next(iterator)
    assert mapped() == 0


OTHERWISE = {  # option: (an optimizer with which it has an effect, another value of the option)
    "optimizer": ({}, "adamw"),
    "momentum": ({}, 0.5),
    "nesterov": ({}, True),
    "adam_learning_rate": ({"optimizer": "adam"}, 0.5),
    "adam_epsilon": ({"optimizer": "adam"}, 0.1),
    "weight_decay": ({}, 0.1),
    "last_layer_gradient_multiplier": ({}, 10.0),
    "gradient_clip_norm": ({}, 1e-3),
    "gradient_accumulation_steps": ({}, 2),  # batch norms see half of the batch at a time
    "moving_average_decay": ({}, 0.9),
    "freeze_backbone_steps": ({}, 2),
}


def after_two_steps(options):
    step = tiny.step(tiny.config(schedule=SCHEDULE, optimizer=OptimizerConfig(**options)))
    for images, labels in tiny.batches(2):
        step(tf.constant(images), tf.constant(labels))
    return tiny.weights(step)


def test_every_option_of_the_optimizer_changes_what_a_step_changes():
    assert set(OTHERWISE) == {field.name for field in dataclasses.fields(OptimizerConfig)}
    for name, (base, value) in OTHERWISE.items():
        plain, changed = after_two_steps(base), after_two_steps({**base, name: value})
        moved = [np.abs(changed[variable] - plain[variable]).max() for variable in plain.keys() & changed.keys()]
        assert plain.keys() != changed.keys() or max(moved) > 1e-5, name
